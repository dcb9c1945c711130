"""Draws the diagrams of the report: learning curves, calibration, accuracy against coverage."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ...pages.diagrams import MARK, TRAIN, VAL, as_percent, drawing, plain_numbers
from ..outputs import SplitOutputs
from ..record import EpochMetrics
from .abstention import coverage_curve
from .calibration import Calibration

MAX_GROUPS_NAMED = 3  # so that the legend fits in one line
LOG_RATIO = 20  # highest to lowest learning rate; above it, the axis is logarithmic
MAX_POINTS = 400  # of a curve


def plot_curves(epochs: list[EpochMetrics], metric: str, label: str, kept: EpochMetrics | None) -> str:
    """Plot a metric of training and validation over the epochs, counted from 1, and mark the kept epoch."""
    with drawing(f"{label} over the epochs", "epoch") as plot:
        for stage, name, colour in (("train", "training", TRAIN), ("val", "validation", VAL)):
            numbers, values = series(epochs, f"{stage}/{metric}")
            plot.axes.plot(numbers, values, marker="o", color=colour, label=name)
        if kept is not None:
            number = kept["epoch"] + 1
            plot.axes.axvline(number, color=MARK, linestyle=":", label=f"kept: epoch {number:.0f}")
        plot.axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        if metric == "acc":
            as_percent(plot.axes.yaxis)
    return plot.svg


def plot_learning_rates(epochs: list[EpochMetrics]) -> str | None:
    """Plot the learning rate of each parameter group at the start of each epoch; None if none was logged."""
    groups = sorted({name for epoch in epochs for name in epoch if name.startswith("lr/")})
    if not groups:
        return None
    with drawing("learning rate over the epochs", "epoch") as plot:
        rates = []
        for group, colour, line in zip(groups, cycle((VAL, TRAIN, MARK)), cycle(("-", "--", ":")), strict=False):
            numbers, values = series(epochs, group)
            label = group.removeprefix("lr/") if len(groups) <= MAX_GROUPS_NAMED else None
            plot.axes.plot(numbers, values, line, marker="o", color=colour, label=label)
            rates += values
        if max(rates) > LOG_RATIO * min(rates) > 0:
            plot.axes.set_yscale("log")
            plain_numbers(plot.axes.yaxis)
        else:
            plot.axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        plot.axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    return plot.svg


def series(epochs: list[EpochMetrics], name: str) -> tuple[list[float], list[float]]:
    """Epochs that have a metric, counted from 1, and its values."""
    known = [epoch for epoch in epochs if name in epoch]
    return [epoch["epoch"] + 1 for epoch in known], [epoch[name] for epoch in known]


def plot_reliability(before: Calibration, after: Calibration | None) -> str:
    """Plot accuracy against confidence; the area of a dot is the share of images in its bin."""
    with drawing("reliability diagram: accuracy against confidence", "confidence", "accuracy") as plot:
        plot.axes.plot([0, 1], [0, 1], color=MARK, linestyle=":", label="ideal")
        for name, calibration, colour in (("as trained", before, TRAIN), ("with temperature", after, VAL)):
            if calibration is not None:
                shares = np.array([found.num_images for found in calibration.bins]) / total(calibration)
                x, y = ([getattr(found, of) for found in calibration.bins] for of in ("confidence", "accuracy"))
                plot.axes.scatter(x, y, s=8 + 200 * shares, color=colour, alpha=0.7, linewidths=0)
                plot.axes.scatter([], [], s=16, color=colour, label=name)
        plot.axes.set(xlim=(0, 1.03), ylim=(0, 1.05))
        as_percent(plot.axes.xaxis, plot.axes.yaxis)
    return plot.svg


def total(calibration: Calibration) -> int:
    return sum(found.num_images for found in calibration.bins)


def plot_coverage(test: SplitOutputs) -> str:
    """Plot the accuracy on the answered test images against their share."""
    coverage, accuracy = coverage_curve(test.probabilities.max(axis=1), test.is_correct)
    shown = np.unique(np.linspace(0, len(test) - 1, MAX_POINTS).astype(int))
    with drawing("accuracy against coverage", "share of images answered", "accuracy of these") as plot:
        plot.axes.plot(coverage[shown], accuracy[shown], color=VAL)
        plot.axes.set_xlim(0, 1.03)
        as_percent(plot.axes.xaxis, plot.axes.yaxis)
    return plot.svg
