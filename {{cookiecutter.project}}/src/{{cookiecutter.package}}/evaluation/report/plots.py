"""Diagrams as SVG within the page, in the page's own colours and font, so that they are right in light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, StrMethodFormatter

from ..outputs import SplitOutputs
from ..record import EpochMetrics
from .abstention import coverage_curve
from .calibration import Calibration

# matplotlib knows no colour of a style sheet: each of these stands for one until the SVG is written.
TEXT, GRID, TRAIN, VAL, MARK = "#010101", "#010102", "#010103", "#010104", "#010105"
COLOURS = {TEXT: "currentColor", GRID: "var(--grid)", TRAIN: "var(--train)", VAL: "var(--val)", MARK: "var(--mark)"}
SIZE = (4.4, 2.7)  # inches; the page scales it
SETTINGS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": TEXT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.columnspacing": 1.2,
    "legend.frameon": False,
    "legend.labelcolor": TEXT,
    "lines.markersize": 3,
    "svg.fonttype": "none",
    "svg.hashsalt": "the same run, the same page",
    "text.color": TEXT,
    "text.parse_math": False,
    "xtick.color": GRID,
    "xtick.labelcolor": TEXT,
    "ytick.color": GRID,
    "ytick.labelcolor": TEXT,
}
LEGEND: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 0.99), "ncols": 3}
MAX_GROUPS_NAMED = 3  # in the legend's one line
LOG_RATIO = 20  # of the highest learning rate to the lowest, from which on the axis is logarithmic
MAX_POINTS = 400  # of a curve


class Drawing:
    """A diagram that is being drawn; ``svg`` is there afterwards."""

    axes: Axes
    svg: str


@contextmanager
def drawing(title: str, x: str) -> Iterator[Drawing]:
    """A diagram with a grid; the page has its title above it, and reads it out to those who do not see it."""
    result = Drawing()
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=SIZE)
        figure.subplots_adjust(left=0.13, right=0.97, bottom=0.17, top=0.88)  # a layout engine would draw twice
        result.axes = figure.add_subplot(xlabel=x)
        yield result
        if result.axes.get_legend_handles_labels()[0]:
            result.axes.legend(**LEGEND)
        result.svg = as_svg(figure, title)


def as_svg(figure: Figure, title: str) -> str:
    """Markup for the page: matplotlib escapes what it writes, and ``title`` is this project's own."""
    stream = StringIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(stream, metadata=no_metadata)  # type: ignore[no-untyped-call]
    drawn = stream.getvalue()
    body = drawn[drawn.index(">", drawn.index("<svg")) + 1 :]
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # which all diagrams of the page would have in common
    for stand_in, colour in COLOURS.items():
        body = body.replace(stand_in, colour)
    width, height = (72 * inches for inches in SIZE)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{title}">{body}'


def plot_curves(epochs: list[EpochMetrics], metric: str, label: str, kept: EpochMetrics | None) -> str:
    """Training and validation over the epochs, with the epoch marked whose weights are kept."""
    with drawing(f"{label} over the epochs", "epoch") as plot:
        for stage, name, colour in (("train", "training", TRAIN), ("val", "validation", VAL)):
            numbers, values = series(epochs, f"{stage}/{metric}")
            plot.axes.plot(numbers, values, marker="o", color=colour, label=name)
        if kept is not None:
            plot.axes.axvline(kept["epoch"], color=MARK, linestyle=":", label=f"kept: epoch {kept['epoch']:.0f}")
        plot.axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        if metric == "acc":
            as_percent(plot.axes.yaxis)
    return plot.svg


def plot_learning_rates(epochs: list[EpochMetrics]) -> str | None:
    """Of each parameter group, at the start of each epoch; None where none was logged."""
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
        plot.axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))  # powers of ten would be mathematics
        plot.axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    return plot.svg


def series(epochs: list[EpochMetrics], name: str) -> tuple[list[float], list[float]]:
    """Numbers of the epochs that have a metric, and its values."""
    known = [epoch for epoch in epochs if name in epoch]
    return [epoch["epoch"] for epoch in known], [epoch[name] for epoch in known]


def plot_reliability(before: Calibration, after: Calibration | None) -> str:
    """Accuracy against confidence; a dot's area is the share of the images that are in its bin."""
    with drawing("reliability diagram: accuracy against confidence", "confidence") as plot:
        plot.axes.plot([0, 1], [0, 1], color=MARK, linestyle=":", label="ideal")
        for name, calibration, colour in (("as it is", before, TRAIN), ("with temperature", after, VAL)):
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
    """Accuracy of those test images that get an answer, against their share."""
    coverage, accuracy = coverage_curve(test.probabilities.max(axis=1), test.is_correct)
    shown = np.unique(np.linspace(0, len(test) - 1, MAX_POINTS).astype(int))
    with drawing("accuracy against coverage", "share of images answered") as plot:
        plot.axes.plot(coverage[shown], accuracy[shown], color=VAL)
        plot.axes.set_xlim(0, 1.03)
        as_percent(plot.axes.xaxis, plot.axes.yaxis)
    return plot.svg


def as_percent(*axes: Axis) -> None:
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))
