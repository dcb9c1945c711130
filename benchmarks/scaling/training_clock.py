"""A training of the generated project that says after TRAINING_CLOCK_SECONDS how many images a second it showed."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from image_classifier.cli import main
from lightning.pytorch import Callback, LightningModule, Trainer

WARMUP_STEPS = 5


class TrainingClock(Callback):
    """Counts steps from the sixth on; each process says its own rate, and ends."""

    def __init__(self) -> None:
        self.seconds = float(os.environ["TRAINING_CLOCK_SECONDS"])
        self.steps = self.images = 0
        self.spent = self.before = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.size = len(batch[1])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self.steps += 1
        if self.steps > WARMUP_STEPS and batch_idx > 0:  # what lies between epochs is validation
            self.spent += now - self.before
            self.images += self.size
        self.before = now
        if self.steps % 10 == 0 and trainer.strategy.broadcast(self.spent >= self.seconds):
            sys.stdout.write(f"rate\t{self.images / self.spent}\n")
            sys.stdout.flush()
            trainer.strategy.barrier()
            os._exit(0)


if __name__ == "__main__":
    main([*sys.argv[1:], "--trainer.callbacks=TrainingClock"])
