"""The search loop: ask Optuna for a trial, train it, tell Optuna the result."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import optuna
import torch
from optuna.trial import FrozenTrial, Trial, TrialState

from ...errors import UserError
from ...training.divergence import DivergedError
from .study import PROBLEM, SHIPPED, concluded
from .sweep_file import Sweep
from .trial import Report, train

OutOfMemory = torch.OutOfMemoryError


@dataclass(frozen=True)
class Budget:
    """Limits of a search; when one is reached, no further trial is started.

    Attributes:
        num_trials: total number of trials of the study, including those of earlier searches; None means no limit.
        minutes: time from ``start``; None means no limit.
        start: start of the search, on the clock of ``time.monotonic``.
    """

    num_trials: int | None
    minutes: float | None
    start: float = field(default_factory=time.monotonic)

    def allows_another(self, study: optuna.Study) -> bool:
        if not concluded(study):
            return True  # the shipped recipe is always trained
        if self.minutes is not None and time.monotonic() - self.start >= 60 * self.minutes:
            return False
        return self.num_trials is None or len(concluded(study)) < self.num_trials


@dataclass(frozen=True)
class Search:
    """Runs the trials of a sweep and records them in a study.

    Attributes:
        study: Optuna's record of the trials.
        sweep: the sweep file.
        given: options of ``fit`` that the user adds to the recipe.
        own: options of ``fit`` for all trials, which the user's options override.
        seeds: each trial is trained once with each seed; its value is the mean.
        folder: folder with the run directories of the trials.
    """

    study: optuna.Study
    sweep: Sweep
    given: list[str]
    own: list[str]
    seeds: list[int]
    folder: Path

    def run(self, budget: Budget, show: Callable[[FrozenTrial], None]) -> None:
        """Run trials until a limit of the budget is reached; ``show`` is called with each trial that has ended.

        Raises:
            UserError: the shipped recipe cannot be trained.
            KeyboardInterrupt: the user stopped the search; the next start repeats the trial that was running.
        """
        while budget.allows_another(self.study):
            trial = self.study.ask(self.sweep.space)
            self.conclude(trial)
            show(self.study.trials[trial.number])

    def conclude(self, trial: Trial) -> None:
        """Train a trial and record the result in the study."""
        try:
            self.study.tell(trial, self.value(trial))
        except optuna.TrialPruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        except (UserError, DivergedError, OutOfMemory) as error:
            if isinstance(error, UserError) and SHIPPED in trial.user_attrs:
                raise UserError(f"the shipped recipe cannot be trained: {error}") from error
            self.fail(trial, str(error))
        except Exception as error:
            self.fail(trial, f"{type(error).__name__}: {error}")
            raise

    def fail(self, trial: Trial, problem: str) -> None:
        trial.set_user_attr(PROBLEM, problem)
        self.study.tell(trial, state=TrialState.FAIL)

    def value(self, trial: Trial) -> float:
        """The metric of the best epoch, averaged over the seeds."""
        return mean(self.train_seed(trial, seed) for seed in self.seeds)

    def train_seed(self, trial: Trial, seed: int) -> float:
        directory = self.folder / f"trial-{trial.number:04}"
        if len(self.seeds) > 1:
            directory /= f"seed-{seed}"
        where = [f"--seed_everything={seed}", f"--run.directory={directory}"]
        report = self.reporter(trial) if seed == self.seeds[0] else ignore
        try:
            return train([*self.options_of(trial), *where], self.sweep.metric, report)
        finally:
            shutil.rmtree(directory / "checkpoints", ignore_errors=True)  # not needed: the best recipe is trained again

    @property
    def recipe(self) -> list[str]:
        """Options of ``fit`` for the shipped recipe."""
        return [*self.sweep.options, *self.given]

    def recipe_of(self, trial: Trial | FrozenTrial) -> list[str]:
        """Options of ``fit`` for the recipe of a trial; the shipped recipe ignores the constants of the sweep too."""
        return [*self.recipe, *([] if SHIPPED in trial.user_attrs else self.sweep.trial_options(trial.params))]

    def options_of(self, trial: Trial | FrozenTrial) -> list[str]:
        """Options of ``fit`` to train a trial."""
        return [*self.sweep.options, *self.own, *self.recipe_of(trial)[len(self.sweep.options) :]]

    def reporter(self, trial: Trial) -> Report:
        def report(step: int, value: float) -> None:
            trial.report(value, step)
            if SHIPPED not in trial.user_attrs and trial.should_prune():
                raise optuna.TrialPruned

        return report


def ignore(step: int, value: float) -> None:
    """Report nothing: only the trainings with the first seed can be stopped early."""
