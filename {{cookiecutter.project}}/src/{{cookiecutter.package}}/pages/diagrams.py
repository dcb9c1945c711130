"""Diagrams as SVG within a page, in the page's own colours and font: legible in light and dark."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, StrMethodFormatter

# matplotlib does not know the colours of a style sheet: each of these stands for one until the SVG is written.
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
LEGEND: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 0.99), "handletextpad": 0.5}
MAX_LETTERS = 44  # of one line of a legend, counting four for each symbol
LINE = 0.075  # height of a line of a legend, as a share of the diagram's
TOP = 0.88  # of the axes, with a legend of one line
MANY_DECADES = 2  # from which on a logarithmic axis has ticks at powers of ten only


class Drawing:
    """A diagram that is being drawn; ``svg`` is set when the block ends."""

    axes: Axes
    svg: str


@contextmanager
def drawing(title: str, x: str, y: str = "") -> Iterator[Drawing]:
    """A diagram with a grid, and a legend above it where lines have labels.

    Args:
        title: for screen readers; the page shows its own heading.
        x: label of the horizontal axis.
        y: label of the vertical axis.
    """
    result = Drawing()
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=SIZE)
        left = 0.17 if y else 0.13
        figure.subplots_adjust(left=left, right=0.97, bottom=0.17, top=TOP)  # a layout engine would draw twice
        result.axes = figure.add_subplot(xlabel=x, ylabel=y)
        yield result
        if labels := result.axes.get_legend_handles_labels()[1]:
            num_columns = len(labels) if sum(len(label) + 4 for label in labels) <= MAX_LETTERS else 2
            result.axes.legend(ncols=num_columns, **LEGEND)
            figure.subplots_adjust(top=TOP - LINE * (math.ceil(len(labels) / num_columns) - 1))
        result.svg = as_svg(figure, title)


def as_svg(figure: Figure, title: str) -> str:
    """Markup for the page. matplotlib escapes the texts it writes; ``title`` must be this project's own."""
    stream = StringIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(stream, metadata=no_metadata)  # type: ignore[no-untyped-call]
    drawn = stream.getvalue()
    body = drawn[drawn.index(">", drawn.index("<svg")) + 1 :]
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # ids that all diagrams of the page would have in common
    for stand_in, colour in COLOURS.items():
        body = body.replace(stand_in, colour)
    width, height = (72 * inches for inches in SIZE)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{title}">{body}'


def as_percent(*axes: Axis) -> None:
    """Label shares in percent, without a tick below 0 % or above 100 %. Call it when everything is drawn."""
    for axis in axes:
        low, high = sorted(axis.get_view_interval())
        axis.set_ticks([tick for tick in axis.get_majorticklocs() if max(0, low) <= tick <= min(high, 1 + 1e-9)])
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers; matplotlib would write powers of ten as TeX, which is not parsed."""
    low, high = sorted(axis.get_view_interval())
    steps = (1.0, 2.0, 5.0) if low > 0 and high / low < 10**MANY_DECADES else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
