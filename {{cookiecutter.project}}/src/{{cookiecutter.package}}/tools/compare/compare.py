"""Compare runs, and test which differences are significant."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...engine.recipes import VerbParser
from ...files import PAGES, require_output
from .candidates import by_test_images, read_candidates
from .comparison import Comparison
from .page import cells, headings, seed_row, write_comparison

BASELINES = """\
add baselines, fitted to the images of the first run: majority class, logistic regression and nearest neighbour on
pixels"""
DIFFERENT = "show runs with different test sets in one table, without significance tests"


def compare(options: Sequence[str]) -> None:
    """Print a table and write the page; the last printed line is the path of the page."""
    parser = VerbParser("compare", __doc__)
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="run directory, folder (all runs in it), or last")
    add("--output", type=Path, default=Path("compare.html"), help="output page (default: compare.html)")
    add("--baselines", action="store_true", help=BASELINES)
    add("--allow_different_splits", action="store_true", help=DIFFERENT)
    arguments = parser.parse_args(options)
    require_output(arguments.output, suffixes=PAGES)
    runs, others = read_candidates(arguments.runs)
    groups = [runs] if arguments.allow_different_splits else by_test_images(runs)
    comparisons = [Comparison(group, arguments.baselines) for group in groups]
    write_comparison(arguments.output, comparisons, others)  # first, as the reader of the table may leave
    if len(groups) > 1:
        print(f"The runs were tested on {len(groups)} different test sets. Runs are compared within each test set.")
    for comparison in comparisons:
        if len(groups) > 1:
            print(f"\n{comparison.test_set}")
        print_comparison(comparison)
    print(arguments.output)


def print_comparison(comparison: Comparison) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for warning in comparison.warnings:
        console.print(escape(warning), style="bold yellow")
    # Two lines per candidate. Names of up to 24 letters are not wrapped, except in a terminal of fewer than 88 columns.
    keeps_names = not console.is_terminal or console.width >= 88
    rows = [cells(candidate) for candidate in comparison.candidates]
    widest = max(len(text) for row in rows for text in row[0])
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for number, (upper, lower) in enumerate(headings()):
        min_width = min(widest, 24) if keeps_names and number == 0 else None
        table.add_column(f"{upper}\n{lower}", "left" if number == 0 else "right", min_width=min_width, overflow="fold")
    for row in rows:
        table.add_row(*(f"{escape(upper)}\n[dim]{escape(lower)}[/]" for upper, lower in row))
    console.print(table)
    for metric in comparison.metrics:
        values = (f"{run.summary[metric]:.4g} ({run.name})" for run in comparison.runs)
        console.print(escape(f"{metric}: {', '.join(values)}"))
    for recipe, mean, spread, seeds, _ in map(seed_row, comparison.groups):
        console.print(f"{escape(recipe)}, seeds {seeds}: mean accuracy {mean} ({spread})")
    for note in comparison.notes:
        console.print(escape(note), style="dim")
    if comparison.tests:
        num, best = len(comparison.best.keys), escape(comparison.best.name)
        console.print(f"{best}, the most accurate run on {num:,} test images, against", style="bold")
    for test in comparison.tests:
        console.print(f"  {escape(test.second.name)}: {escape(test.verdict)}")
