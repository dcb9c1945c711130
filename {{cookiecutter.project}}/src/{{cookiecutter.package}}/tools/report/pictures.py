"""Pictures of the report: learning curves, calibration, coverage and the confusion matrix."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray
from PIL import Image

from ...engine.metrics_table import EpochMetrics
from ...engine.results import SplitOutputs
from ..pages.diagrams import MARK, TRAIN, VAL, as_percent, drawing, plain_numbers
from ..pages.rendering import data_url
from .calibration import Calibration, coverage_curve

FAINTEST = 0.08  # lowest opacity of a cell that is not 0
DARKEST = 0.55  # opacity of a cell with all images of its row; text on it is readable in light and dark mode


def plot_curves(epochs: Sequence[EpochMetrics], metric: str, kept: EpochMetrics | None) -> str:
    """Plot a metric of training and validation over the epochs, counted from 1, and mark the kept epoch."""
    with drawing(f"{metric} over the epochs", "epoch") as plot:
        for stage, name, colour in (("train", "training", TRAIN), ("val", "validation", VAL)):
            numbers, values = series(epochs, f"{stage}/{metric}")
            if values:
                plot.axes.plot(numbers, values, marker="o", color=colour, label=name)
        if kept is not None:
            number = kept["epoch"] + 1
            plot.axes.axvline(number, color=MARK, linestyle=":", label=f"kept: epoch {number:.0f}")
        plot.axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        if metric.endswith("acc"):
            as_percent(plot.axes.yaxis)
    return plot.svg


def plot_learning_rates(epochs: Sequence[EpochMetrics]) -> str | None:
    """Plot the learning rate of each parameter group at the start of each epoch; None if none was logged."""
    groups = sorted({name for epoch in epochs for name in epoch if name.startswith("lr/")})
    if not groups:
        return None
    with drawing("learning rate over the epochs", "epoch") as plot:
        rates = [epoch[name] for epoch in epochs for name in groups if name in epoch]
        for group, colour, line in zip(groups, cycle((VAL, TRAIN, MARK)), cycle(("-", "--", ":")), strict=False):
            label = group.removeprefix("lr/") if len(groups) <= 3 else None  # more would not fit in one line
            plot.axes.plot(*series(epochs, group), line, marker="o", color=colour, label=label)
        if max(rates) > 20 * min(rates) > 0:
            plot.axes.set_yscale("log")
            plain_numbers(plot.axes.yaxis)
        else:
            plot.axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        plot.axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    return plot.svg


def series(epochs: Sequence[EpochMetrics], name: str) -> tuple[list[float], list[float]]:
    """Epochs that have a metric, counted from 1, and its values."""
    known = [epoch for epoch in epochs if name in epoch]
    return [epoch["epoch"] + 1 for epoch in known], [epoch[name] for epoch in known]


def plot_reliability(before: Calibration, after: Calibration | None) -> str:
    """Plot accuracy against confidence; the area of a dot is the share of images in its bin."""
    with drawing("reliability diagram: accuracy against confidence", "confidence", "accuracy") as plot:
        plot.axes.plot([0, 1], [0, 1], color=MARK, linestyle=":", label="ideal")
        for name, calibration, colour in (("as trained", before, TRAIN), ("with temperature", after, VAL)):
            if calibration is not None:
                sizes, x, y = calibration.bins.T
                plot.axes.scatter(x, y, s=8 + 200 * sizes / sizes.sum(), color=colour, alpha=0.7, linewidths=0)
                plot.axes.scatter([], [], s=16, color=colour, label=name)
        plot.axes.set(xlim=(0, 1.03), ylim=(0, 1.05))
        as_percent(plot.axes.xaxis, plot.axes.yaxis)
    return plot.svg


def plot_coverage(test: SplitOutputs) -> str:
    """Plot the accuracy on the answered test images against their share."""
    coverage, accuracy = coverage_curve(test.probabilities.max(axis=1), test.is_correct)
    shown = np.unique(np.linspace(0, len(test) - 1, num=400).astype(int))
    with drawing("accuracy against coverage", "share of images answered", "accuracy of these") as plot:
        plot.axes.plot(coverage[shown], accuracy[shown], color=VAL)
        plot.axes.set_xlim(0, 1.03)
        as_percent(plot.axes.xaxis, plot.axes.yaxis)
    return plot.svg


def shares_of_rows(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row of the (K, K) counts divided by its sum; rows without images are 0."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def confusion_table(counts: NDArray[np.int64]) -> list[list[tuple[int, float]]]:
    """Rows of the (K, K) counts; each cell is its number of images and the opacity of its colour, 0 to 1."""
    opacity = DARKEST * np.sqrt(shares_of_rows(counts))  # the square root makes rare mistakes visible
    opacity = np.where(counts > 0, np.maximum(opacity, FAINTEST), 0.0).round(3)
    return [list(zip(*row, strict=True)) for row in zip(counts.tolist(), opacity.tolist(), strict=True)]


def heat_map(counts: NDArray[np.int64]) -> str:
    """Data URL of a picture with one pixel per cell; its opacity increases with the cell's share of the row."""
    pixels = np.empty((*counts.shape, 4), dtype=np.uint8)
    pixels[..., :3] = (47, 111, 191)  # blue
    pixels[..., 3] = np.rint(255 * np.sqrt(shares_of_rows(counts)))
    return data_url(Image.fromarray(pixels), "PNG")


def most_confused(counts: NDArray[np.int64], class_names: Sequence[str]) -> list[tuple[str, str, int, float]]:
    """True class, predicted class, number and share of the true class's images, the most frequent mistake first."""
    shares, mistakes = shares_of_rows(counts), np.where(np.eye(len(counts), dtype=bool), 0, counts)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:20]
    pairs = [divmod(int(index), len(counts)) for index in order if mistakes.flat[index]]
    return [(class_names[i], class_names[j], int(mistakes[i, j]), float(shares[i, j])) for i, j in pairs]
