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
FIRST_FILE = "config.yaml"  # that is written into a run directory
SHELLS = {"bash", "interactive"}  # names of SLURM's interactive jobs, as Lightning knows them


@dataclass(frozen=True)
class RunSettings:
    """Where a run is kept.

    Attributes:
        root: folder of all runs.
        name: folder of this recipe's runs within ``root``; None takes the file name of the recipe, or the names of data
            set and model.
        directory: directory of this run, instead of ``root/name/date-time``; it must be new or empty, unless a
            launcher starts the run's job again.
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
    if resumed is not None:
        directory = resumed
    elif is_launched():
        directory = share(launched_directory(settings, recipe))
    elif settings.directory is not None:
        directory = claim(Path(settings.directory))
    else:
        directory = create_dated(Path(settings.root, settings.name or recipe))
    os.environ[INHERITED] = str(directory.absolute())
    return directory


def is_launched() -> bool:
    """Whether torchrun or SLURM started this process, and maybe others that know nothing of each other yet.

    A shell that SLURM opened is no job: each command in it is a run of its own.
    """
    is_shell = os.environ.get("SLURM_JOB_NAME") in SHELLS
    return "RANK" in os.environ or ("SLURM_PROCID" in os.environ and not is_shell)


def launched_directory(settings: RunSettings, recipe: str) -> Path:
    """Where all processes of a launcher's job write, whenever they start, and however often the job does."""
    if settings.directory is not None:
        return Path(settings.directory)
    return Path(settings.root, settings.name or recipe, job_id())


def forget_run_directory() -> None:
    """Let the next training of this process, in a notebook say, have a directory of its own."""
    os.environ.pop(INHERITED, None)


def claim(directory: Path) -> Path:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"run.directory is {str(directory)!r}, which holds files already. Give a new or empty folder.")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def share(directory: Path) -> Path:
    """As ``claim`` does, where rank zero may have written its first file already, or the job has run before."""
    if directory.exists() and not (directory / FIRST_FILE).is_file():
        return claim(directory)
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
