"""Accuracy against what it costs, as a picture within the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from .candidate import Candidate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by most who are colour-blind, and on white as on black; shapes for print.
STYLES = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v"), ("#56b4e9", "P")]
TEXT = "#123456"  # stands for the colour of the page's text, which CSS knows and matplotlib does not
COLOURED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
LOGARITHMIC_FROM = 10  # times the smallest cost


@dataclass(frozen=True)
class Point:
    """A candidate, its rank in the table, and what it costs: a number above 0."""

    rank: int
    candidate: Candidate
    cost: float


def plot_accuracy(points: Sequence[Point], label: str) -> str:
    """SVG text: each candidate with its 95 % interval and its rank, a colour and shape for each kind of model.

    Args:
        points: at least one.
        label: of the cost, with its unit.
    """
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = dict.fromkeys(COLOURED, TEXT)
    style |= {"svg.fonttype": "none", "svg.hashsalt": label, "text.parse_math": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot(xlabel=label, ylabel="test accuracy, %")
        draw(axes, points)
        stream = StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    svg = stream.getvalue()
    return svg[svg.index("<svg") :].replace(TEXT, "currentColor")


def draw(axes: Axes, points: Sequence[Point]) -> None:
    from matplotlib.ticker import LogFormatter

    models = list(dict.fromkeys(point.candidate.model for point in points))
    for model, (colour, marker) in zip(models, STYLES * len(models), strict=False):
        own = [point for point in points if point.candidate.model == model]
        accuracies = [100 * point.candidate.accuracy for point in own]
        intervals = [point.candidate.interval for point in own]
        below = [max(0, acc - 100 * lower) for acc, (lower, _) in zip(accuracies, intervals, strict=True)]
        above = [max(0, 100 * upper - acc) for acc, (_, upper) in zip(accuracies, intervals, strict=True)]
        costs = [point.cost for point in own]
        axes.errorbar(costs, accuracies, yerr=[below, above], fmt=marker, color=colour, capsize=3, label=model)
        for point, accuracy in zip(own, accuracies, strict=True):
            # Above and below in turn, since neighbours in rank are often neighbours in the plot.
            offset = (7, 4) if point.rank % 2 else (7, -11)
            axes.annotate(str(point.rank), (point.cost, accuracy), xytext=offset, textcoords="offset points")
    costs = [point.cost for point in points]
    if max(costs) > LOGARITHMIC_FROM * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(
            LogFormatter(minor_thresholds=(2, 0.4))
        )  # plain numbers too, where there is room
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
