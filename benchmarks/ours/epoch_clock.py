"""When the parts of a training begin and end."""

from __future__ import annotations

import json
from pathlib import Path

from clock import now
from lightning.pytorch import Callback, LightningModule, Trainer


class EpochClock(Callback):
    """Writes a JSON file: when it was created, when training began and ended, seconds of each epoch's training.

    An epoch's training ends where its validation begins: Lightning validates, and writes checkpoints, within it.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self.created = now()
        self.train_start = 0.0
        self.epoch_start = 0.0
        self.epoch_seconds: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.train_start = now()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epoch_start = now()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.epoch_seconds.append(now() - self.epoch_start)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        times = {
            "created": self.created,
            "train_start": self.train_start,
            "train_end": now(),
            "epoch_seconds": self.epoch_seconds,
            "device": pl_module.device.type,
        }
        self.file.write_text(json.dumps(times), encoding="utf-8")
