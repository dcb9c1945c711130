"""Adds to every checkpoint what is needed to predict with it, and its origin."""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from ..data import ImageDataModule
from ..evaluation.seen_images import TRAINED_ON, trained_on
from ..models.settings import to_plain
from .environment import git_commit, versions
from .metrics_table import MetricsTable, Row

FORMAT = 1


class CheckpointBundle(Callback):
    """Adds ``bundle``, of plain JSON types, and ``trained_on``, digests of images, to every checkpoint.

    The hyperparameters have the facts of the data, the preprocessing and the model's arguments. The bundle has the name
    of the model's class, the resolved config, the hash of the splits, the current metrics and those of all earlier
    epochs, the id of the W&B run, the number of processes, versions and the git commit.

    Args:
        config: the resolved config.
        table: the metrics of the epochs.
        wandb_id: id of the W&B run, which a resumed training continues; None without W&B.
        resumed: the bundle of the checkpoint to resume from; empty for a new training.
        earlier: digests of the images that the initial weights were trained on; None for random weights.
    """

    def __init__(
        self,
        config: dict[str, Any],
        table: MetricsTable,
        wandb_id: str | None,
        resumed: dict[str, Any],
        earlier: Tensor | None,
    ) -> None:
        self.earlier = earlier
        self.seconds_before = resumed.get("seconds", 0.0)
        self.start: float | None = None
        self.config = config
        self.table = table
        self.wandb_id = wandb_id
        self.origin = {"versions": versions(), "git_commit": git_commit()}

    @property
    def seconds(self) -> float:
        """Seconds of training, including those before it was resumed."""
        return self.seconds_before + (0.0 if self.start is None else time.perf_counter() - self.start)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.start is None:
            self.start = time.perf_counter()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        checkpoint[TRAINED_ON] = trained_on(data, self.earlier) if isinstance(data, ImageDataModule) else {}
        metrics = {n: value.item() for n, value in trainer.callback_metrics.items() if not n.startswith("lr/")}
        checkpoint["bundle"] = {
            "format": FORMAT,
            "model": type(pl_module).__name__,
            "config": to_plain(self.config),
            "split_hash": data.split_hash if isinstance(data, ImageDataModule) else None,
            "metrics": metrics,
            "history": self.history(trainer, metrics),
            "seconds": self.seconds,
            "num_processes": trainer.world_size,
            "wandb_id": self.wandb_id,
            **self.origin,
        }

    def history(self, trainer: Trainer, metrics: dict[str, float]) -> list[Row]:
        """The rows of ``metrics.csv``, including what has been measured and is not yet written."""
        epoch = trainer.current_epoch
        progress: Any = trainer.fit_loop.epoch_progress.current
        if progress.completed == progress.processed == progress.started:  # the epoch's row is in the table
            return self.table.history(epoch)
        is_epoch_over = progress.processed == progress.started
        return self.table.history(epoch, self.table.row(epoch, metrics if is_epoch_over else {}, trainer.global_step))
