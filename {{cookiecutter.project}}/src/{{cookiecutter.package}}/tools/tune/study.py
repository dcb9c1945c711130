"""The study of a search, kept by Optuna, and its trials."""

import gc
import io
import json
import logging
import math
import shutil
import signal
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy.exc import DatabaseError

from ...engine.companions import Companion
from ...engine.parse_errors import in_one_line
from ...engine.record import flatten
from ...engine.stopping import DivergedError
from ...errors import UserError
from ...facts import mode_of
from ...fit import train
from .sweep import Sweep

SHIPPED, PROBLEM, MADE_WITH = "shipped", "problem", "made_with"  # attributes of trials and of the study
OF_DISK = {getattr(sqlite3, f"SQLITE_{name}") for name in ("BUSY", "CANTOPEN", "FULL", "IOERR", "PERM", "READONLY")}


def open_study(file: Path, sweep: Sweep, recipe: dict[str, Any], num_seeds: int) -> optuna.Study:
    """Create or continue the study. Trials whose process ended during them are marked as failed and queued again."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # failed trials are shown by `tune`
    if not file.exists() and any(file.parent.glob("trial-*")):
        raise UserError(
            f"{str(file.parent)!r} contains trials but no {file.name}. Give --study a file in another folder."
        )
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if sweep.min_epochs is not None:
        # Stops a trial if its best value so far is worse than the median of the others at that epoch.
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=sweep.min_epochs - 1)
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{file}",
            study_name=sweep.name,
            direction="minimize" if mode_of(sweep.metric) == "min" else "maximize",
            pruner=pruner,
            load_if_exists=True,
        )
        study.get_trials(deepcopy=False)  # reads every value
    except Exception as error:  # of a damaged database, SQLite, SQLAlchemy, Optuna and its JSON raise many kinds
        if error_of_disk(error):
            raise
        raise UserError(
            f"--study is {str(file)!r}, which is not a study, or is damaged ({type(error).__name__}: "
            f"{in_one_line(str(error))[:200]}). Give a study that tune has created, or a new file."
        ) from error
    require_same_search(study, sweep, recipe, num_seeds, file)
    # The seed depends on the number of trials: a continued study would draw the same trials with a constant seed. The
    # first 8 trials are random; Optuna's default of 10 is half of the usual 20.
    study.sampler = optuna.samplers.TPESampler(n_startup_trials=8, seed=len(study.trials))
    requeue(study)
    waiting = study.get_trials(states=(TrialState.WAITING,))
    if not any(SHIPPED in trial.user_attrs for trial in [*concluded(study), *waiting]):
        study.enqueue_trial(shipped_params(sweep, recipe), user_attrs={SHIPPED: True})
    return study


def error_of_disk(error: BaseException) -> BaseException | None:
    """SQLite's error, if it cannot read or write the file of the study."""
    database = error if isinstance(error, DatabaseError) else error.__cause__
    origin = database.orig if isinstance(database, DatabaseError) else None
    return origin if getattr(origin, "sqlite_errorcode", 0) & 0xFF in OF_DISK else None  # the other bits are details


@contextmanager
def keeping(file: Path) -> Iterator[None]:
    """Raise errors of the study's database as a UserError."""
    try:
        yield
    except (DatabaseError, StorageInternalError) as error:
        if not (problem := error_of_disk(error)):
            raise
        raise UserError(
            f"--study is {str(file)!r}, which cannot be read or written: {problem}. Check its permissions and "
            "the disk. The same command continues the search."
        ) from error


def requeue(study: optuna.Study) -> None:
    """Mark the trials that are running, which were interrupted, as failed, and queue them again."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)


def require_same_search(study: optuna.Study, sweep: Sweep, recipe: dict[str, Any], num_seeds: int, file: Path) -> None:
    """Refuse a study whose trials would not be comparable with those of this search."""
    as_json = optuna.distributions.distribution_to_json
    space = {f"parameters.{name}": as_json(drawn) for name, drawn in sweep.space.items()}
    constants = {f"parameters.{name}": text for name, text in sweep.constants.items()}
    wanted = {"metric": sweep.metric, "--seeds": num_seeds, **space, **constants, **dict(flatten(recipe))}
    if MADE_WITH not in study.user_attrs and not study.trials:
        study.set_user_attr(MADE_WITH, wanted)
    found = study.user_attrs.get(MADE_WITH, {})
    if not isinstance(found, dict):
        raise UserError(f"--study is {str(file)!r}, which is damaged: {MADE_WITH} is {found!r}. Give a new file.")
    for name in [*wanted, *found]:
        if found.get(name) != wanted.get(name):
            raise UserError(
                f"--study is {str(file)!r}, which belongs to a different search: {name} was {found.get(name)}, and is "
                f"now {wanted.get(name)}, so old and new trials are not comparable. Give --study a file in another "
                "folder."
            )


def shipped_params(sweep: Sweep, recipe: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the shipped recipe, as values of the search space, which must contain them."""
    params, settings = {}, dict(flatten(recipe))
    for name, distribution in sweep.space.items():
        value = params[name] = from_text(settings.get(name, "null"))
        if isinstance(distribution, CategoricalDistribution):
            params[name] = next((text for text in distribution.choices if from_text(str(text)) == value), value)
        try:
            create_trial(value=0.0, params={name: params[name]}, distributions={name: distribution})
        except ValueError as error:
            raise UserError(
                f"{sweep.file}: {name} is {value} in the recipe, which is outside of {distribution}. The first trial "
                "is the recipe, so change the parameter to include this value."
            ) from error
    return params


def from_text(text: str) -> Any:
    """The value that the text of an option stands for; text that is not valid JSON is returned unchanged."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def examples(distribution: BaseDistribution) -> list[Any]:
    """Values to check: all choices, or both bounds."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return [distribution.low, distribution.high]


def concluded(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that completed, were stopped early or failed; without interrupted trials, which are repeated."""
    over = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [trial for trial in over if trial.state != TrialState.FAIL or PROBLEM in trial.user_attrs]


def completed(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    return study.best_trial if completed(study) else None


def shipped_trial(study: optuna.Study) -> FrozenTrial | None:
    """The trial of the shipped recipe; None if it is not completed."""
    return next((trial for trial in completed(study) if SHIPPED in trial.user_attrs), None)


@dataclass(frozen=True)
class Search:
    """Runs the trials of a sweep and records them in a study."""

    study: optuna.Study
    sweep: Sweep
    given: list[str]  # options of `fit` that the user adds to the recipe
    own: list[str]  # options of `fit` for all trials, which the user's options override
    seeds: list[int]  # each trial is trained once with each seed; its value is the mean
    folder: Path  # of the run directories of the trials
    companions: Sequence[Companion] = ()  # tools that take part in every training

    def run_trial(self) -> FrozenTrial:
        """Run a trial, whose value is the metric of its best epoch, averaged over the seeds, and record its end.

        A trial that raises KeyboardInterrupt or an OSError, or a UserError for the shipped recipe, has no end and is
        repeated later.
        """
        trial = self.study.ask(self.sweep.space)
        try:
            value = mean(self.train_seed(trial, seed) for seed in self.seeds)
        except optuna.TrialPruned:
            return self.study.tell(trial, state=TrialState.PRUNED)
        except Exception as error:
            if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
                raise  # a full disk, for example, is not the fault of the trial, which is repeated later
            if isinstance(error, UserError) and SHIPPED in trial.user_attrs:
                raise UserError(f"the shipped recipe cannot be trained: {error}") from error
            is_known = isinstance(error, UserError | DivergedError | torch.OutOfMemoryError)
            trial.set_user_attr(PROBLEM, str(error) if is_known else f"{type(error).__name__}: {error}")
            failed = self.study.tell(trial, state=TrialState.FAIL)
            if not is_known:
                raise
            return failed
        return self.study.tell(trial, value)

    def train_seed(self, trial: Trial, seed: int) -> float:
        directory = self.folder / f"trial-{trial.number:04}"
        if len(self.seeds) > 1:
            directory /= f"seed-{seed}"
        # Only the training with the first seed can be stopped early.
        reporter = EpochReporter(self.sweep.metric, trial if seed == self.seeds[0] else None)
        try:
            with quietly():
                train(self.options_of(trial, seed, directory), [reporter], self.companions)
        finally:
            shutil.rmtree(directory / "checkpoints", ignore_errors=True)  # not needed: the best recipe is trained again
        return (min if mode_of(self.sweep.metric) == "min" else max)(reporter.values)

    def recipe_of(self, trial: Trial | FrozenTrial, own: Sequence[str] = ()) -> list[str]:
        """Options of ``fit`` for the recipe of a trial; the shipped recipe does not have the constants of the sweep."""
        changes = [] if SHIPPED in trial.user_attrs else self.sweep.trial_options(trial.params)
        return [*self.sweep.options, *own, *self.given, *changes]

    def options_of(self, trial: Trial | FrozenTrial, seed: int, directory: Path) -> list[str]:
        """Options of ``fit`` to train a trial."""
        where = [f"--seed_everything={seed}", f"--run.directory={directory}", "--trainer.enable_progress_bar=false"]
        return [*self.recipe_of(trial, self.own), *where]


class EpochReporter(Callback):
    """Collects the metric of each epoch, and reports it to a trial, which may end the training."""

    def __init__(self, metric: str, trial: Trial | None = None) -> None:
        self.metric, self.trial = metric, trial
        self.values: list[float] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        for name in ("val/loss", self.metric):
            value = trainer.callback_metrics[name].item()
            if not math.isfinite(value):
                raise DivergedError(f"{name} is {value} after epoch {trainer.current_epoch + 1}")
        self.values.append(value)
        if self.trial is not None:
            self.trial.report(value, len(self.values) - 1)
            if SHIPPED not in self.trial.user_attrs and self.trial.should_prune():
                raise optuna.TrialPruned


@contextmanager
def quietly() -> Iterator[None]:
    """Suppress the output of a training; raise KeyboardInterrupt on Ctrl-C, where ``fit`` raises SystemExit."""
    logger, on_interrupt = logging.getLogger(__package__.split(".")[0]), signal.getsignal(signal.SIGINT)
    level = logger.level
    logger.setLevel(logging.WARNING)
    gc.collect()  # free the memory of the previous training, whose objects are in reference cycles
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            yield
    except SystemExit as stop:
        if isinstance(stop.__cause__, DivergedError):
            raise stop.__cause__ from None
        raise KeyboardInterrupt from stop
    finally:
        signal.signal(signal.SIGINT, on_interrupt)
        logger.setLevel(level)
