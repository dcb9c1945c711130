"""How long a training has taken, and how good its model is, after each epoch."""

from __future__ import annotations

import json
from pathlib import Path

from clock import now
from forward_pass import forward_pass
from lightning.pytorch import Callback, LightningModule, Trainer


class AccuracyClock(Callback):
    """Writes a JSON file with seconds and test accuracy after each epoch; the clock stands still during the tests.

    It starts when the callback is created, before any image is read, and runs on during validation and checkpoints.
    The tests decide nothing: the training goes on to its end, and takes its best epoch from the validation split.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self.start = now()
        self.in_tests = 0.0
        self.history: list[tuple[float, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trained = now()
        self.history.append((trained - self.start - self.in_tests, self.test(trainer, pl_module)))
        self.in_tests += now() - trained

    def test(self, trainer: Trainer, pl_module: LightningModule) -> float:
        """Share of the test images that the model, as it is, classifies right."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        split = data.split("test")
        logits = forward_pass(pl_module, split.images, data.batch_size, pl_module.device)
        pl_module.train()
        accuracy: float = (logits.argmax(dim=1).cpu() == split.labels).double().mean().item()
        return accuracy

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        times = {"history": self.history, "device": pl_module.device.type}
        self.file.write_text(json.dumps(times), encoding="utf-8")
