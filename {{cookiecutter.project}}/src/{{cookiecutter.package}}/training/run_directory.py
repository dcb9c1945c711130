"""One run, one directory: named before anything is created, the same on every rank."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..errors import UserError

# Lightning starts the other ranks of a machine as copies of this process, which inherit its environment.
INHERITED = "CLASSIFIER_RUN_DIRECTORY"


@dataclass(frozen=True)
class RunSettings:
    """Where a run is kept.

    Attributes:
        root: folder of all runs.
        name: folder of this recipe's runs within it; None takes the file name of the first ``--config``.
        directory: the run's very directory, instead of ``root/name/date-time``; it must be new or empty.
    """

    root: str = "runs"
    name: str | None = None
    directory: str | None = None


def create_run_directory(settings: RunSettings, recipe: str, resumed: Path | None = None) -> Path:
    """Create the directory of this run, or find the one that rank zero created.

    Args:
        settings: where runs are kept.
        recipe: folder of the recipe's runs.
        resumed: the directory of the run that goes on, if one does.

    Raises:
        UserError: ``directory`` holds files, or several machines need to agree on one and have no job id in common.
    """
    if INHERITED in os.environ:
        return Path(os.environ[INHERITED])
    parent = Path(settings.root, settings.name or recipe)
    if resumed is not None:
        directory = resumed
    elif settings.directory is not None:
        directory = claim(Path(settings.directory))
    elif "RANK" in os.environ or "SLURM_PROCID" in os.environ:
        directory = parent / job_id()
        directory.mkdir(parents=True, exist_ok=True)
    else:
        directory = create_dated(parent)
    os.environ[INHERITED] = str(directory.absolute())
    return directory


def forget_run_directory() -> None:
    """Let the next training of this process, in a notebook say, have a directory of its own."""
    os.environ.pop(INHERITED, None)


def claim(directory: Path) -> Path:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"run.directory is {str(directory)!r}, which holds files already. Give a new or empty folder.")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def job_id() -> str:
    """What the launcher calls this job: the only name that all of its processes know without talking."""
    for variable in ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"):
        if os.environ.get(variable, "none") != "none":
            return f"job-{os.environ[variable]}"
    raise UserError(
        "processes started by a launcher must agree on one run directory: give torchrun a job id (--rdzv-id NAME), "
        "or pass --run.directory DIR."
    )


def create_dated(parent: Path) -> Path:
    """``parent/date-time``, with a number behind it where another run started in the same second."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in itertools.count(1):
        directory = parent / (stamp if number == 1 else f"{stamp}_{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        return directory
    raise AssertionError("unreachable")
