"""``status.json``: the state of a run, how far it has trained, and why it ended. Written from the start."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from .lost_process import REASON, is_lost_process

FILE_NAME = "status.json"


@dataclass(frozen=True)
class Status:
    """State of a run.

    Attributes:
        state: ``stopped`` runs received a signal and saved a checkpoint, ``failed`` ones ended with an error. A process
            that was killed leaves ``running``.
        reason: why it stopped or failed.
        num_epochs: completed epochs.
        num_steps: optimizer steps taken.
        host: name of the machine.
        process: id of the process on that machine.
        started: when this process started, UTC.
        updated: when this status was written, UTC.
    """

    state: Literal["running", "finished", "stopped", "failed"]
    reason: str = ""
    num_epochs: int = 0
    num_steps: int = 0
    host: str = ""
    process: int = 0
    started: str = ""
    updated: str = ""


class StatusFile(Callback):
    """Updates the file at each epoch and when the run ends.

    Args:
        directory: of the run; a resumed run starts with the epochs and steps in the file there.
    """

    def __init__(self, directory: Path) -> None:
        self.file = directory / FILE_NAME
        before = json.loads(self.file.read_text(encoding="utf-8")) if self.file.is_file() else {}
        progress = {name: before[name] for name in ("num_epochs", "num_steps") if name in before}
        self.status = Status("running", host=platform.node(), process=os.getpid(), started=now(), **progress)
        self.write(self.status)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write_progress(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write_progress(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write_progress(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._write_progress(trainer)
        if not isinstance(exception, SIGTERMException):  # written now, as a launcher may end this process at any moment
            self.fail(exception)

    def end(self, state: Literal["finished", "stopped", "failed"], reason: str = "") -> None:
        """Write how the run ended."""
        self.write(replace(self.status, state=state, reason=reason))

    def fail(self, error: BaseException) -> None:
        """Write that the run has failed. If the connection to a process is lost, any process that is left writes it.

        A finished run stays finished: its results are written, and only printing them can fail.
        """
        if self.status.state == "finished":
            return
        if not is_lost_process(error):
            self.end("failed", f"{type(error).__name__}: {error}")
        elif is_rank_zero():
            self.end("failed", REASON)
        elif (written := read_status(self.file)).state == "running":
            self._put(replace(written, state="failed", reason=REASON, updated=now()))

    def _write_progress(self, trainer: Trainer) -> None:
        self.write(replace(self.status, num_epochs=trainer.current_epoch, num_steps=trainer.global_step))

    @rank_zero_only
    def write(self, status: Status) -> None:
        self.status = replace(status, updated=now())
        self._put(self.status)

    def _put(self, status: Status) -> None:
        part = self.file.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(asdict(status), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        part.replace(self.file)


def read_status(file: Path) -> Status:
    return Status(**json.loads(file.read_text(encoding="utf-8")))


def is_rank_zero() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
