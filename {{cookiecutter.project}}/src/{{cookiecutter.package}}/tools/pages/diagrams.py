"""Diagrams as SVG in the colours and font of the page, for light and dark mode."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import matplotlib
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, StrMethodFormatter

# matplotlib does not know the colours of a style sheet: each of these is replaced by one when the SVG is written.
TEXT, GRID, TRAIN, VAL, MARK = "#010101", "#010102", "#010103", "#010104", "#010105"
COLOURS = {TEXT: "currentColor", GRID: "var(--grid)", TRAIN: "var(--train)", VAL: "var(--val)", MARK: "var(--mark)"}
SIZE = (4.4, 2.7)  # inches; the page scales it
SETTINGS: dict[Any, Any] = {
    **dict.fromkeys(
        ("axes.labelcolor", "legend.labelcolor", "text.color", "xtick.labelcolor", "ytick.labelcolor"), TEXT
    ),
    **dict.fromkeys(("axes.edgecolor", "grid.color", "xtick.color", "ytick.color"), GRID),
    **dict.fromkeys(("axes.facecolor", "figure.facecolor", "svg.fonttype"), "none"),
    **dict.fromkeys(("axes.spines.right", "axes.spines.top", "legend.frameon", "text.parse_math"), False),
    **dict.fromkeys(("axes.axisbelow", "axes.grid"), True),
    "grid.linewidth": 0.6,
    "legend.columnspacing": 1.2,
    "lines.markersize": 3,
    "svg.hashsalt": "the same run, the same page",
}
LEGEND: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 0.99), "handletextpad": 0.5}


class Drawing:
    """A diagram that is being drawn; ``svg`` is set when the block ends."""

    axes: Axes
    svg: str


@contextmanager
def drawing(title: str, x: str, y: str = "") -> Iterator[Drawing]:
    """A diagram with a grid, and a legend above it if lines have labels; the title is for screen readers."""
    result, top = Drawing(), 0.88
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=SIZE)
        # A layout engine would draw the figure twice.
        figure.subplots_adjust(left=0.17 if y else 0.13, right=0.97, bottom=0.17, top=top)
        result.axes = figure.add_subplot(xlabel=x, ylabel=y)
        yield result
        if labels := result.axes.get_legend_handles_labels()[1]:
            # A line holds 44 letters; each symbol takes the space of 4. Each further line has a height of 0.075.
            num_columns = len(labels) if sum(len(label) + 4 for label in labels) <= 44 else 2
            result.axes.legend(ncols=num_columns, **LEGEND)
            figure.subplots_adjust(top=top - 0.075 * (math.ceil(len(labels) / num_columns) - 1))
        stream = StringIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(stream, metadata=no_metadata)  # type: ignore[no-untyped-call]
    drawn = stream.getvalue()
    body = drawn[drawn.index(">", drawn.index("<svg")) + 1 :]
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # ids that all diagrams of the page would have in common
    for stand_in, colour in COLOURS.items():
        body = body.replace(stand_in, colour)
    width, height = (72 * inches for inches in SIZE)
    result.svg = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">{body}'


def as_percent(*axes: Axis) -> None:
    """Label shares in percent, without a tick below 0 % or above 100 %. Call it when everything is drawn."""
    for axis in axes:
        low, high = sorted(axis.get_view_interval())
        axis.set_ticks([tick for tick in axis.get_majorticklocs() if max(0, low) <= tick <= min(high, 1 + 1e-9)])
        axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers; matplotlib would write powers of ten as TeX, which is not parsed."""
    low, high = sorted(axis.get_view_interval())
    steps = (1.0, 2.0, 5.0) if low > 0 and high / low < 100 else (1.0,)  # else only powers of ten
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
