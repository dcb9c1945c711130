"""Accuracy against cost, as a diagram within the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .candidate import Candidate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which most colour-blind people can tell apart, on white and on black; shapes for print.
STYLES = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v"), ("#56b4e9", "P")]
LOGARITHMIC_FROM = 10  # times the smallest cost


@dataclass(frozen=True)
class Point:
    """A candidate, its rank in the table, and its cost: a number above 0."""

    rank: int
    candidate: Candidate
    cost: float


def plot_accuracy(points: Sequence[Point], label: str) -> str:
    """SVG: each candidate with its 95 % interval and its rank, a colour and shape for each kind of model.

    Args:
        points: at least one.
        label: of the cost, with its unit.
    """
    from ...pages.diagrams import drawing  # matplotlib, which a mistake in the command line need not wait for

    with drawing(f"test accuracy against {label}", label, "test accuracy") as plot:
        draw(plot.axes, points)
    return plot.svg


def draw(axes: Axes, points: Sequence[Point]) -> None:
    from ...pages.diagrams import as_percent, plain_numbers

    models = list(dict.fromkeys(point.candidate.model for point in points))
    for model, (colour, marker) in zip(models, STYLES * len(models), strict=False):
        own = [point for point in points if point.candidate.model == model]
        accuracies = [point.candidate.accuracy for point in own]
        intervals = [point.candidate.interval for point in own]
        below = [max(0, acc - lower) for acc, (lower, _) in zip(accuracies, intervals, strict=True)]
        above = [max(0, upper - acc) for acc, (_, upper) in zip(accuracies, intervals, strict=True)]
        costs = [point.cost for point in own]
        style: dict[str, Any] = {"fmt": marker, "color": colour, "capsize": 2, "elinewidth": 1, "markersize": 5}
        axes.errorbar(costs, accuracies, yerr=[below, above], label=model, **style)
        for point, accuracy in zip(own, accuracies, strict=True):
            # Above and below in turn, since neighbours in rank are often neighbours in the plot.
            offset = (5, 3) if point.rank % 2 else (5, -9)
            axes.annotate(
                str(point.rank), (point.cost, accuracy), xytext=offset, textcoords="offset points", fontsize=8
            )
    costs = [point.cost for point in points]
    axes.margins(x=0.08)
    if max(costs) > LOGARITHMIC_FROM * min(costs):
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
    as_percent(axes.yaxis)
