"""The run directory: shared by all processes of a training, and locked while the training runs."""

from __future__ import annotations

import itertools
import logging
import os
import platform
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import UserError
from .run_status import FILE_NAME as STATUS
from .run_status import is_rank_zero, read_status

log = logging.getLogger(__name__)

# Lightning starts the other ranks of a machine as copies of this process, which inherit its environment.
INHERITED = "CLASSIFIER_RUN_DIRECTORY"
FIRST_FILE = "config.yaml"  # that is written into a run directory
SHELLS = {"bash", "interactive"}  # names of SLURM's interactive jobs, as Lightning knows them
LOCK = ".lock"
# Seconds to wait for a lock. The operating system releases that of a killed process at once, or within 5 s where loader
# workers hold it too. A file server releases that of a machine that has failed after about 90 s (NFS 4), and nobody
# watches a job that a launcher starts again.
LOCK_SECONDS, JOB_LOCK_SECONDS = 6.0, 120.0

held_locks: list[FileLock] = []
"""Of the training of this process."""


@dataclass(frozen=True)
class RunSettings:
    """Location of the run directory.

    Attributes:
        root: folder of all runs.
        name: folder of this recipe's runs in ``root``; None uses the file name of the recipe, or the names of data set
            and model.
        directory: directory of this run, in place of ``root/name/date-time``; it must be new or empty, unless a
            launcher starts the run's job again.
    """

    root: str = "runs"
    name: str | None = None
    directory: str | None = None


def create_run_directory(settings: RunSettings, recipe: str, resumed: Path | None = None) -> Path:
    """Create the directory of this run, or find the one that rank zero created; rank zero locks it.

    Args:
        settings: where runs are kept.
        recipe: folder of the recipe's runs.
        resumed: the directory of the run to resume; None for a new run.

    Raises:
        UserError: ``directory`` holds files, another process trains in it, or several machines need to agree on one and
            have no job id in common.
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
    if is_rank_zero():
        hold(directory)
    os.environ[INHERITED] = str(directory.absolute())
    return directory


def is_launched() -> bool:
    """Whether torchrun or SLURM started this process, and perhaps others, which have not connected yet.

    A shell that SLURM opened is not a job: each command in it is a run of its own.
    """
    is_shell = os.environ.get("SLURM_JOB_NAME") in SHELLS
    return "RANK" in os.environ or ("SLURM_PROCID" in os.environ and not is_shell)


def launched_directory(settings: RunSettings, recipe: str) -> Path:
    """The run directory of a launcher's job: the same for all its processes, and each time the job is started."""
    if settings.directory is not None:
        return Path(settings.directory)
    return Path(settings.root, settings.name or recipe, job_id())


def release_run_directory() -> None:
    """End the use of the run directory: the next training of this process, in a notebook say, has its own."""
    os.environ.pop(INHERITED, None)
    while held_locks:
        held_locks.pop().release()


def hold(directory: Path) -> None:
    """Lock a run directory for as long as this process trains in it.

    The operating system releases the lock of a process that ends, however it ends. Where the file system has no locks,
    a warning says so.

    Raises:
        UserError: another process holds the lock.
    """
    lock = FileLock(directory / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=JOB_LOCK_SECONDS if is_launched() else LOCK_SECONDS)
    except Timeout as error:
        raise UserError(held_by(directory)) from error
    except (OSError, NotImplementedError) as error:
        log.warning(
            "%s cannot be locked (%s): do not start a second training in it",
            directory,
            getattr(error, "strerror", None) or error,
        )
    else:
        held_locks.append(lock)


def held_by(directory: Path) -> str:
    """Error message that names the process that trains in a run directory, and what to do."""
    refused = f"another process trains in {str(directory)!r}"
    if not (directory / STATUS).is_file():
        return f"{refused}. Wait until it ends, or give this training another --run.directory."
    holder = read_status(directory / STATUS)
    since = f"{holder.started[:16].replace('T', ' ')} UTC"
    if holder.host == platform.node():
        remedy = f"stop it, which saves first: kill {holder.process}"
    else:
        remedy = f"if that machine is gone, remove {str(directory / LOCK)!r}"
    return (
        f"{refused}: process {holder.process} on {holder.host}, since {since}. Wait until it ends; or {remedy}. Then "
        "run this command again."
    )


def claim(directory: Path) -> Path:
    is_folder = directory.is_dir() or not directory.exists()
    if not is_folder or (directory.exists() and any(path.name != LOCK for path in directory.iterdir())):
        raise UserError(f"run.directory is {str(directory)!r}, which is not empty. Give a new or empty folder.")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def share(directory: Path) -> Path:
    """As ``claim``, but the run of this job may be in the directory: of rank zero, or of an earlier start."""
    if directory.exists() and not (directory / FIRST_FILE).is_file():
        return claim(directory)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def job_id() -> str:
    """The launcher's id of this job, which all processes know before they are connected."""
    for variable in ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"):
        if os.environ.get(variable, "none") != "none":
            return f"job-{os.environ[variable]}"
    raise UserError(
        "the processes of a launcher must agree on one run directory: give torchrun a job id (--rdzv-id NAME), "
        "or pass --run.directory DIR."
    )


def create_dated(parent: Path) -> Path:
    """Create ``parent/date-time``; a number is appended where another run started in the same second."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in itertools.count(1):
        directory = parent / (stamp if number == 1 else f"{stamp}_{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        return directory
    raise AssertionError("unreachable")
