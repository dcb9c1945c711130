"""Compare runs, and test which differences are significant."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import UserError
from ..evaluation.comparison.candidate import Candidate
from ..evaluation.comparison.comparison import Comparison, compare_runs
from ..evaluation.comparison.page import write_page
from ..evaluation.comparison.runs import read_candidates
from ..evaluation.comparison.splits import by_test_images
from ..evaluation.comparison.table import HEADINGS, cells, interval, percent
from .verb_parser import VerbParser

log = logging.getLogger(__name__)

MAX_NAME_WIDTH = 24  # of a run's name that is not wrapped, in characters
NARROW = 88  # terminals with fewer columns wrap names


def build_parser() -> argparse.ArgumentParser:
    parser = VerbParser("compare", __doc__)
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="run directory, folder (all runs in it), or last"
    )
    parser.add_argument("--output", type=Path, default=Path("compare.html"), help="output page (default: compare.html)")
    parser.add_argument(
        "--baselines",
        action="store_true",
        help="add baselines, fitted to the images of the first run: majority class, logistic regression and nearest "
        "neighbour on pixels",
    )
    parser.add_argument(
        "--allow_different_splits",
        action="store_true",
        help="show runs with different test sets in one table, without significance tests",
    )
    return parser


def compare(options: Sequence[str]) -> None:
    """Print a table and write the page; the last printed line is the path of the page.

    Raises:
        UserError: there is no run to compare, or the runs were tested on different images.
    """
    arguments = build_parser().parse_args(options)
    require_writable(arguments.output)
    runs, unfinished = read_candidates(arguments.runs)
    for directory in unfinished:
        log.warning("%s is left out, because it has no test result", directory)
    groups = [runs] if arguments.allow_different_splits else by_test_images(runs)
    comparisons = [compare_runs(group, arguments.baselines) for group in groups]
    if len(groups) > 1:
        print(f"The runs were tested on {len(groups)} different test sets. Runs are compared within each test set.")
    for comparison in comparisons:
        if len(groups) > 1:
            print(f"\n{comparison.test_set}")
        print_comparison(comparison)
    write_page(arguments.output, comparisons, unfinished)
    print(arguments.output)


def require_writable(output: Path) -> None:
    if output.is_dir():
        raise UserError(f"--output is {str(output)!r}, which is a folder. Give a file, such as compare.html.")
    if not output.parent.is_dir():
        raise UserError(f"--output is {str(output)!r}, but there is no folder {str(output.parent)!r}. Create it.")


def print_comparison(comparison: Comparison) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for warning in comparison.warnings:
        console.print(escape(warning), style="bold yellow")
    keeps_names = not console.is_terminal or console.width >= NARROW
    console.print(table_of(comparison.candidates, keeps_names=keeps_names))
    num = len(comparison.best.images)
    for group in comparison.groups:
        mean, spread = percent(group.mean, num), interval(*group.spread, num)
        console.print(f"{escape(group.recipe)}, seeds {', '.join(group.seeds)}: mean accuracy {mean} ({spread})")
    for note in comparison.notes:
        console.print(escape(note), style="dim")
    if comparison.tests:
        best = escape(comparison.best.name)
        console.print(f"{best}, the most accurate run on {num:,} test images, against", style="bold")
    for test in comparison.tests:
        console.print(f"  {escape(test.second.name)}: {escape(test.verdict)}")


def table_of(candidates: Sequence[Candidate], *, keeps_names: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for upper, lower in HEADINGS:
        is_name = upper == "run"
        widest = max(len(text) for candidate in candidates for text in cells(candidate)[0])
        table.add_column(
            f"{upper}\n{lower}",
            justify="left" if is_name else "right",
            min_width=min(widest, MAX_NAME_WIDTH) if is_name and keeps_names else None,
            overflow="fold",
        )
    for candidate in candidates:
        table.add_row(*(f"{escape(upper)}\n[dim]{escape(lower)}[/]" for upper, lower in cells(candidate)))
    return table
