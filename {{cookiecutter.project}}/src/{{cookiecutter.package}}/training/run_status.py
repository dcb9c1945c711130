"""``status.json``: how far a run came, and why it ended there. It is there from the start, for a run that dies."""

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
    """Of a run.

    Attributes:
        state: ``running`` also stands there when a process was killed and had no time to say so; ``stopped`` runs were
            told to stop and saved, ``failed`` ones ended by an error.
        reason: why it stopped or failed.
        num_epochs: whole epochs trained.
        num_steps: optimizer steps taken.
        host: machine of the process.
        process: its number there.
        started: when this process began, UTC.
        updated: when this was written, UTC.
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
    """Keeps the file true during training, and until the run has ended.

    Args:
        directory: of the run; where it goes on, it has come as far as the file there says.
    """

    def __init__(self, directory: Path) -> None:
        self.file = directory / FILE_NAME
        before = json.loads(self.file.read_text(encoding="utf-8")) if self.file.is_file() else {}
        came_to = {name: before[name] for name in ("num_epochs", "num_steps") if name in before}
        self.status = Status("running", host=platform.node(), process=os.getpid(), started=now(), **came_to)
        self.write(self.status)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._came_to(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._came_to(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._came_to(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._came_to(trainer)
        if not isinstance(exception, SIGTERMException):  # a launcher may end this process before it comes to say so
            self.fail(exception)

    def end(self, state: Literal["finished", "stopped", "failed"], reason: str = "") -> None:
        """Write how the run ended."""
        self.write(replace(self.status, state=state, reason=reason))

    def fail(self, error: BaseException) -> None:
        """Write that the run has failed; where processes have lost each other, whichever is left writes it."""
        if not is_lost_process(error):
            self.end("failed", f"{type(error).__name__}: {error}")
        elif is_rank_zero():
            self.end("failed", REASON)
        elif (written := read_status(self.file)).state == "running":
            self._put(replace(written, state="failed", reason=REASON, updated=now()))

    def _came_to(self, trainer: Trainer) -> None:
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
