"""When checkpoints are written: the best and the last epoch, and every so many minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from ..errors import UserError
from ..models.monitor import MODES, Monitor
from .divergence import reason_of_divergence

LAST = "last.ckpt"
SECONDS = 60  # of a minute


class BestAndLast(ModelCheckpoint):
    """Writes ``best.ckpt`` and, after every epoch, ``last.ckpt`` (Lightning writes it only after a best epoch).

    It keeps its best score when a run's folder was moved or copied. An epoch in which the training diverged is not
    saved: both files stay those of the epochs before.

    Args:
        folder: of the checkpoints.
        monitor: the metric that decides which epoch is best.
    """

    def __init__(self, folder: Path, monitor: Monitor) -> None:
        super().__init__(
            folder,
            filename="best",
            monitor=monitor,
            mode=MODES[monitor],
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=True,  # when all metrics of the epoch are known, so that it resumes exactly
        )
        self.last = folder / LAST

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if reason_of_divergence(trainer):
            return
        super().on_train_epoch_end(trainer, pl_module)
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.last)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def moved(path: str) -> str:
            here = Path(str(self.dirpath), Path(path).name)
            return str(here) if here.is_file() else path

        paths = {name: moved(state_dict[name]) for name in state_dict if name.endswith("_path")}
        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        folder = str(Path(paths["best_model_path"]).parent)
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": folder})


class SaveEvery(Callback):
    """Writes ``last.ckpt`` within an epoch as well, for long epochs.

    Lightning's ModelCheckpoint with ``train_time_interval`` would also write a best file of its own.

    Args:
        minutes: at least, between two checkpoints.
        file: the checkpoint to write.

    Raises:
        UserError: ``minutes`` is not positive.
    """

    def __init__(self, minutes: float, file: Path) -> None:
        if minutes <= 0:
            raise UserError(f"checkpoint_every_minutes is {minutes}; it must be above 0, for example 10.")
        self.seconds = minutes * SECONDS
        self.file = file
        self.saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        is_due = time.monotonic() - self.saved >= self.seconds
        # After the last batch of an epoch the epoch's own checkpoint follows.
        if trainer.strategy.broadcast(is_due) and batch_idx + 1 < trainer.num_training_batches:
            trainer.save_checkpoint(self.file)
            self.saved = time.monotonic()
