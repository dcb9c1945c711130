"""The study: Optuna's record of all trials, in a SQLite file, so that a search can be continued."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import distribution_to_json
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DatabaseError

from ...errors import UserError
from ...models.monitor import MODES
from .parameters import position_in
from .resolved import Config, look_up
from .sweep_file import Sweep

FILE_NAME = "study.db"
DIRECTIONS = {"min": StudyDirection.MINIMIZE, "max": StudyDirection.MAXIMIZE}
NUM_RANDOM = 8  # random trials at the start; Optuna's default of 10 is half of 20 trials
NUM_UNPRUNED = 5  # completed trials before a trial can be stopped early

SHIPPED, PROBLEM, MADE_WITH = "shipped", "problem", "made_with"  # attributes


@contextmanager
def only_user_of(folder: Path) -> Iterator[None]:
    """Lock the folder, so that a trial marked as running in its study must belong to a process that has ended.

    Raises:
        UserError: another process has locked it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "study.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"another process is searching in {str(folder)!r}. Wait until it ends, or give --study a file in another "
            "folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


def open_study(file: Path, sweep: Sweep, recipe: Config, num_seeds: int) -> optuna.Study:
    """Create the study, or load it to continue it.

    Trials whose process ended while they were running are marked as failed, and their parameters are queued again.

    Raises:
        UserError: the file is not a study, belongs to a different search, or its folder contains trials of another
            study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not file.exists() and any(file.parent.glob("trial-*")):
        raise UserError(
            f"{str(file.parent)!r} contains trials but no {file.name}. Give --study a file in another folder."
        )
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{file}",
            study_name=sweep.name,
            direction=DIRECTIONS[MODES[sweep.metric]],
            pruner=pruner_for(sweep.min_epochs),
            load_if_exists=True,
        )
    except DatabaseError as error:
        raise UserError(
            f"--study is {str(file)!r}, which is not a study. Give a study that tune has created, or a new file."
        ) from error
    require_same_search(study, made_with(sweep, recipe, num_seeds), file)
    # The seed depends on the number of trials: a continued study would draw the same trials with a constant seed.
    study.sampler = TPESampler(n_startup_trials=NUM_RANDOM, seed=len(study.trials))
    requeue_stopped(study)
    if not any(SHIPPED in trial.user_attrs for trial in study.trials):
        study.enqueue_trial(shipped_params(sweep, recipe), user_attrs={SHIPPED: True})
    return study


def pruner_for(min_epochs: int | None) -> BasePruner:
    """A pruner that stops a trial if its best value so far is worse than the median of the others at that epoch."""
    return NopPruner() if min_epochs is None else MedianPruner(NUM_UNPRUNED, n_warmup_steps=min_epochs - 1)


def made_with(sweep: Sweep, recipe: Config, num_seeds: int) -> dict[str, Any]:
    """All settings, by name, that must be equal for the values of two trials to be comparable."""
    space = {f"parameters.{name}": distribution_to_json(drawn) for name, drawn in sweep.space.items()}
    constants = {f"parameters.{name}": text for name, text in sweep.constants.items()}
    return {"metric": sweep.metric, "--seeds": num_seeds, **space, **constants, **flat(recipe)}


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return leaves


def require_same_search(study: optuna.Study, wanted: dict[str, Any], file: Path) -> None:
    found = study.user_attrs.get(MADE_WITH)
    if found is None and not study.trials:
        study.set_user_attr(MADE_WITH, wanted)
        return
    found = found or {}
    for name in [*wanted, *found]:
        if found.get(name) != wanted.get(name):
            raise UserError(
                f"--study is {str(file)!r}, which belongs to a different search: {name} was {found.get(name)}, and is "
                f"now {wanted.get(name)}, so old and new trials are not comparable. Give --study a file in another "
                "folder."
            )


def shipped_params(sweep: Sweep, recipe: Config) -> dict[str, Any]:
    """Parameters of the shipped recipe, as values of the search space.

    Raises:
        UserError: the search space does not contain a value of the recipe.
    """
    values = {name: look_up(recipe, name) for name in sweep.space}
    params = {name: position_in(sweep.space[name], value) for name, value in values.items()}
    for name, position in params.items():
        if position is None:
            raise UserError(
                f"{sweep.file}: {name} is {values[name]} in the recipe, which is outside of {sweep.space[name]}. "
                "The first trial is the recipe, so change the parameter to include this value."
            )
    return params


def requeue_stopped(study: optuna.Study) -> None:
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)


def concluded(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that completed, were stopped early or failed; without interrupted trials, which are repeated."""
    over = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [trial for trial in over if trial.state != TrialState.FAIL or PROBLEM in trial.user_attrs]


def completed(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that trained to the end, by number."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The best completed trial, the first one if several are equal; None if no trial is completed."""
    return study.best_trial if completed(study) else None


def shipped_trial(study: optuna.Study) -> FrozenTrial | None:
    """The trial of the shipped recipe; None if it is not completed."""
    return next((trial for trial in completed(study) if SHIPPED in trial.user_attrs), None)
