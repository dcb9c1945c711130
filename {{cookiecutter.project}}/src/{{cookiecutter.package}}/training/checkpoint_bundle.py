"""Makes every checkpoint complete: what it needs to predict, and to say where it comes from."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from ..data import ImageDataModule
from ..models.settings import to_plain
from .environment import git_commit, versions

FORMAT = 1


class CheckpointBundle(Callback):
    """Adds ``bundle``, of plain JSON types, to every checkpoint.

    Beside the hyperparameters (facts of the data, preprocessing, model arguments) it holds the name of the model's
    class, the resolved config, the hash of the splits, the metrics of the moment, versions and the git commit.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.origin = {"versions": versions(), "git_commit": git_commit()}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
        checkpoint["bundle"] = {
            "format": FORMAT,
            "model": type(pl_module).__name__,
            "config": to_plain(self.config),
            "split_hash": data.split_hash if isinstance(data, ImageDataModule) else None,
            "metrics": metrics,
            **self.origin,
        }
