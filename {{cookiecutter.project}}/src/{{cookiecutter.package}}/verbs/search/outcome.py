"""The result of a search: a statement, the best recipe as a file, and an HTML page."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...errors import UserError
from ...program import program_name
from . import best_recipe, page
from .best_recipe import write_recipe
from .comparison import NUM_SEEDS, Comparison, train_contender
from .page import shown_value, write_page
from .parameters import shown
from .progress import SearchProgress
from .search import Search
from .study import PROBLEM, SHIPPED, best_trial, concluded, shipped_trial


@dataclass(frozen=True)
class Outcome:
    """Outcome of a search that has finished or was stopped.

    Attributes:
        search: the search.
        comparison: None if the shipped recipe is the best, or if the search was stopped before the comparison.
        stopped: whether the user stopped the search.
    """

    search: Search
    comparison: Comparison | None
    stopped: bool

    @property
    def file(self) -> Path:
        return self.search.folder / best_recipe.FILE_NAME

    @property
    def command(self) -> str:
        """The command that trains the best recipe."""
        return f"{program_name()} fit --config {shlex.quote(str(self.file))}"

    @cached_property
    def best(self) -> FrozenTrial | None:
        return best_trial(self.search.study)

    @property
    def statement(self) -> str:
        """Whether the search found a better recipe, in a few sentences."""
        metric, number = self.search.sweep.metric, len(concluded(self.search.study))
        end = " Stopped; the same command continues the search." if self.stopped else ""
        shipped = shipped_trial(self.search.study)
        if self.best is None:
            return f"No trial is complete yet.{end}"
        if SHIPPED in self.best.user_attrs:
            return f"No trial of {number} is better than the shipped recipe: {metric} {shown_value(self.best)}.{end}"
        against = f"shipped recipe {shown_value(shipped)}" if shipped else "the shipped recipe failed"
        found = f"Best of {number} trials: trial {self.best.number} with {metric} {shown_value(self.best)} ({against})."
        return f"{found} {self.comparison.statement if self.comparison else ''}{end}".strip()


def compare(search: Search, progress: SearchProgress) -> Comparison | None:
    """Train the best and the shipped recipe with seeds that no trial used; None if there are not two recipes."""
    best, shipped = best_trial(search.study), shipped_trial(search.study)
    if best is None or shipped is None or SHIPPED in best.user_attrs:
        return None
    first = search.seeds[-1] + 1
    seeds, folder = list(range(first, first + NUM_SEEDS)), search.folder / "comparison"
    progress.show_comparison(2 * NUM_SEEDS)
    found, kept = (
        train_contender(name, search.options_of(trial), seeds, folder, progress.advance_comparison)
        for name, trial in ((f"trial-{best.number:04}", best), ("shipped", shipped))
    )
    return Comparison(search.sweep.metric, seeds, found, kept)


def conclude(outcome: Outcome) -> None:
    """Write ``best.yaml`` and ``tune.html``, and print the result.

    Raises:
        UserError: all trials failed.
    """
    search, best = outcome.search, outcome.best
    if best is None and not outcome.stopped:
        problem = next(trial.user_attrs[PROBLEM] for trial in concluded(search.study) if PROBLEM in trial.user_attrs)
        raise UserError(f"all {len(concluded(search.study))} trials failed. The error of the first one: {problem}")
    if best is not None:
        story = f"{outcome.statement} Searched: {search.sweep.file}; recipe: fit {shlex.join(search.recipe)}"
        write_recipe(outcome.file, outcome.command, search.recipe_of(best), list(search.sweep.space), story)
        print_difference(best, shipped_trial(search.study), search.sweep.metric)
    file = search.folder / page.FILE_NAME
    write_page(file, search.study, search.sweep, outcome.statement, outcome.file, outcome.comparison)
    print(outcome.statement)
    print(file)
    if best is not None:
        print(outcome.command)


def print_difference(best: FrozenTrial, shipped: FrozenTrial | None, metric: str) -> None:
    """Print a table that compares the parameters of the best trial with those of the shipped recipe."""
    table = Table()
    for heading, justify in (("", "left"), ("shipped", "right"), (f"best, trial {best.number}", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_row(metric, shown_value(shipped) if shipped else "failed", shown_value(best))
    for name, value in best.params.items():
        table.add_row(escape(name), escape(shown(shipped.params[name])) if shipped else "", escape(shown(value)))
    Console().print(table)
