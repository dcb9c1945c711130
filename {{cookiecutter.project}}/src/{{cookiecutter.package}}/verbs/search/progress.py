"""Progress of a search: one line per trial, and a progress bar with the best result so far."""

from __future__ import annotations

import sys
from types import TracebackType

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .page import note, short, shown_value
from .parameters import shown
from .search import Budget, Search
from .study import PROBLEM, best_trial, concluded


class SearchProgress:
    """Shows the progress bar within a ``with`` block; the output of trainings must be suppressed."""

    def __init__(self, search: Search, budget: Budget) -> None:
        self.search = search
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=Console(file=sys.stdout), redirect_stdout=False)
        self.trials = self.progress.add_task("trials", total=budget.num_trials)
        self.show_count()

    def __enter__(self) -> SearchProgress:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def show(self, trial: FrozenTrial) -> None:
        """Print a line for a trial that has ended."""
        params = "  ".join(f"{short(name, trial.params)}={shown(value)}" for name, value in trial.params.items())
        problem = f": {trial.user_attrs[PROBLEM]}" if PROBLEM in trial.user_attrs else ""
        line = f"trial {trial.number:<3} {shown_value(trial):7} {params}  {note(trial)}{problem}"
        self.progress.console.print(escape(line.rstrip()), highlight=False, soft_wrap=True)
        self.show_count()

    def show_count(self) -> None:
        study, sweep = self.search.study, self.search.sweep
        best = best_trial(study)
        text = f"best {sweep.metric} {shown_value(best)} (trial {best.number})" if best else "trials"
        self.progress.update(self.trials, completed=len(concluded(study)), description=escape(text))

    def show_comparison(self, total: int) -> None:
        """Start a second bar for the trainings that compare the best recipe with the shipped recipe."""
        self.comparison = self.progress.add_task("training best and shipped again", total=total)

    def advance_comparison(self) -> None:
        self.progress.advance(self.comparison)
