"""The run directory: its files, its location, its lock and its status."""

import json
import logging
import os
import platform
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import FileLock, Timeout
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ..errors import UserError, program_name, shown
from ..files import require_folder, write_text, writing
from ..values import RunName
from .reading import Count, read_json
from .stopping import LOST_PROCESS, is_lost_process

log = logging.getLogger(__name__)

# The files of a run directory; the report has its name in tools/report.
CONFIG = "config.yaml"  # makes a folder a run directory
ENVIRONMENT = "environment.json"
LOCK = ".lock"
METRICS = "metrics.csv"
OUTPUTS = "outputs.npz"
PREDICTIONS = "predictions.csv"
STATUS = "status.json"
SUMMARY = "summary.json"
BEST_CHECKPOINT, LAST_CHECKPOINT = Path("checkpoints", "best.ckpt"), Path("checkpoints", "last.ckpt")
DAMAGED = (
    "The run was stopped while it wrote the file, or the file was changed: restore it from a copy, or remove it to use "
    "the other files of the run."
)

# Lightning starts the other ranks of a machine as copies of this process, which inherit its environment.
INHERITED = "CLASSIFIER_RUN_DIRECTORY"
# Seconds to wait for a lock. The operating system releases that of a killed process at once, or within 5 s where loader
# workers hold it too. A file server releases that of a machine that has failed after about 90 s (NFS 4), and nobody
# watches a job that a launcher starts again.
LOCK_SECONDS, JOB_LOCK_SECONDS = 6.0, 120.0

held_locks: list[FileLock] = []
"""Of the training of this process."""
created: list[tuple[Path, list[Path]]] = []
"""The new directory of the training of this process, and the folders that were missing, itself and its parents."""


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
    name: RunName | None = None
    directory: str | None = None


def create_run_directory(settings: RunSettings, recipe: str, resumed: Path | None = None) -> Path:
    """Create the directory of this run, or find the one that rank zero created; rank zero locks it."""
    if INHERITED in os.environ:
        return Path(os.environ[INHERITED])
    option, given = ("run.root", settings.root) if settings.directory is None else ("run.directory", settings.directory)
    folder = Path(settings.directory or Path(settings.root, settings.name or recipe))
    with writing(option, given):
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        if resumed is not None:
            directory = resumed
        elif is_launched():
            directory = launched_directory(settings, recipe)
            if not (directory / CONFIG).is_file():  # rank zero, or an earlier start, has not written into it yet
                claim(directory)
        elif settings.directory is not None:
            directory = folder
            claim(directory)
        else:
            directory = create_dated(folder)
            missing.insert(0, directory)
    if is_rank_zero():
        hold(directory)
        if not (directory / CONFIG).is_file():
            created[:] = [(directory, missing)]
    os.environ[INHERITED] = str(directory.absolute())
    return directory


@rank_zero_only
def save_config(directory: Path, config: dict[str, Any]) -> None:
    """Write ``config.yaml``, which repeats the run in a new directory."""
    config = config | {"run": config["run"] | {"directory": None}}
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    write_text(directory / CONFIG, text)


def release_run_directory(*, is_refused: bool = False) -> None:
    """End the use of the run directory: the next training of this process, in a notebook say, has its own.

    A training that was refused before its first checkpoint leaves nothing.
    """
    os.environ.pop(INHERITED, None)
    while held_locks:
        held_locks.pop().release()
    for directory, missing in created:
        if is_refused and not (directory / LAST_CHECKPOINT).is_file():
            for path in directory.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for folder in missing:
                with suppress(OSError):  # another run is in it
                    folder.rmdir()
    created.clear()


def is_launched() -> bool:
    """Whether torchrun or SLURM started this process, and perhaps others, which have not connected yet.

    A shell of SLURM (known by its name, as in Lightning) is not a job: each command in it is a run of its own.
    """
    is_shell = os.environ.get("SLURM_JOB_NAME") in {"bash", "interactive"}
    return "RANK" in os.environ or ("SLURM_PROCID" in os.environ and not is_shell)


def launched_directory(settings: RunSettings, recipe: str) -> Path:
    """The run directory of a launcher's job: the same for all its processes, and each time the job is started."""
    if settings.directory is not None:
        return Path(settings.directory)
    for variable in ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"):  # known to all processes before they are connected
        if os.environ.get(variable, "none") != "none":
            return Path(settings.root, settings.name or recipe, f"job-{os.environ[variable]}")
    raise UserError(
        "the processes of a launcher must agree on one run directory: give torchrun a job id (--rdzv-id NAME), "
        "or pass --run.directory DIR."
    )


def require_location(settings: RunSettings) -> None:
    """Refuse settings whose directory cannot be created; creates nothing."""
    if settings.directory is None:
        require_folder(Path(settings.root), "run.root")
        return
    require_folder(Path(settings.directory), "run.directory")
    if not is_launched():
        require_empty(Path(settings.directory))


def require_empty(directory: Path) -> None:
    """Refuse a directory with files."""
    if directory.exists() and not (directory.is_dir() and all(map(is_of_start, directory.iterdir()))):
        raise UserError(f"run.directory is {str(directory)!r}, which is not empty. Give a new or empty folder.")


def claim(directory: Path) -> None:
    """Create the directory, or refuse one with files."""
    require_empty(directory)
    directory.mkdir(parents=True, exist_ok=True)


def is_of_start(file: Path) -> bool:
    """Whether a file is written before the config, by rank zero now, or by a training that ended before it began."""
    return file.name in {LOCK, STATUS} or (file.name.startswith(".") and file.suffix == ".tmp")


def create_dated(parent: Path) -> Path:
    """Create ``parent/date-time``; a number is appended where another run started in the same second."""
    parent.mkdir(parents=True, exist_ok=True)
    stamp, number = datetime.now().strftime("%Y-%m-%d_%H-%M-%S"), 1
    directory = parent / stamp
    while True:
        try:
            directory.mkdir()
            return directory
        except FileExistsError:
            number += 1
            directory = parent / f"{stamp}_{number}"


def hold(directory: Path) -> None:
    """Lock a run directory until this process ends; warns where the file system has no locks."""
    lock = FileLock(directory / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=JOB_LOCK_SECONDS if is_launched() else LOCK_SECONDS)
    except Timeout as error:
        raise UserError(held_by(directory)) from error
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        log.warning("%s cannot be locked (%s): do not start a second training in it", directory, reason)
    else:
        held_locks.append(lock)


def held_by(directory: Path) -> str:
    """Error message that names the process that trains in a run directory, and what to do."""
    refused = f"another process trains in {str(directory)!r}"
    holder = read_status(directory)
    if not holder.started:
        return f"{refused}. Wait until it ends, or give this training another --run.directory."
    since = f"{holder.started[:16].replace('T', ' ')} UTC"
    if holder.host == platform.node():
        remedy = f"stop it, which saves first: kill {holder.process}"
    else:
        remedy = f"if that machine is gone, remove {str(directory / LOCK)!r}"
    return (
        f"{refused}: process {holder.process} on {holder.host}, since {since}. Wait until it ends; or {remedy}. Then "
        "run this command again."
    )


@dataclass(frozen=True)
class Status:
    """State of a run; ``started`` and ``updated`` are in UTC."""

    # Stopped runs received a signal and saved a checkpoint. A process that was killed leaves "running".
    state: Literal["running", "finished", "stopped", "failed"]
    reason: str = ""  # why it stopped or failed
    num_epochs: Count = 0  # completed epochs
    num_steps: Count = 0  # optimizer steps taken
    host: str = ""
    process: Count = 0
    started: str = ""
    updated: str = ""


class StatusFile(Callback):
    """Updates ``status.json`` at each epoch and at the end; a resumed run continues the counts in the file."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / STATUS
        self.has_reported = False
        before = read_status(directory)
        progress = (before.num_epochs, before.num_steps)
        self.status = Status("running", "", *progress, platform.node(), os.getpid(), started=now())
        self.write(self.status)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write(replace(self.status, num_epochs=trainer.current_epoch, num_steps=trainer.global_step))

    on_train_epoch_start = on_train_end = on_train_start

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if is_lost_process(exception):
            self.report_lost_process(exception, trainer)
        with suppress(OSError):  # of a full disk, which would hide the exception
            self.on_train_start(trainer, pl_module)
        if not isinstance(exception, SIGTERMException):  # written now, as a launcher may end this process at any moment
            self.fail(exception)

    def report_lost_process(self, error: BaseException, trainer: Trainer) -> None:
        """Log once what to do, as soon as it is known: Lightning ends this process within 5 s."""
        if not self.has_reported:
            self.has_reported = True
            again = f"{program_name()} fit --resume {shown(self.file.parent)}"
            number, total = trainer.global_rank, trainer.world_size
            log.error(
                "process %d of %d: %s. To continue from the last checkpoint: %s", number, total, LOST_PROCESS, again
            )
            log.error("(%s)", str(error).splitlines()[0])

    def end(self, state: Literal["finished", "stopped", "failed"], reason: str = "") -> None:
        """Write how the run ended."""
        self.write(replace(self.status, state=state, reason=reason))

    def fail(self, error: BaseException) -> None:
        """Write that the run has failed. A finished run stays finished: only printing its results can fail."""
        if self.status.state == "finished":
            return
        with suppress(OSError):  # of a full disk, which would hide the error
            if not is_lost_process(error):
                self.end("failed", f"{type(error).__name__}: {error}")
            elif is_rank_zero():
                self.end("failed", LOST_PROCESS)
            elif (written := read_status(self.file.parent)).state == "running":
                # Any process that is left writes it.
                self.put(replace(written, state="failed", reason=LOST_PROCESS, updated=now()))

    @rank_zero_only
    def write(self, status: Status) -> None:
        self.status = replace(status, updated=now())
        self.put(self.status)

    def put(self, status: Status) -> None:
        write_text(self.file, json.dumps(asdict(status), indent=2, allow_nan=False) + "\n")


def read_status(directory: Path) -> Status:
    """The state of a run; one that cannot be read, as after a power cut, is rebuilt from the other files."""
    file, has_results = directory / STATUS, (directory / SUMMARY).is_file()
    if not file.is_file():
        return Status("running")
    try:
        return read_json(file, Status, "It is written again.")
    except UserError as error:
        log.warning("%s", error)
        return Status("finished" if has_results else "stopped")


def is_rank_zero() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
