"""The callbacks of every training, all watching the same metric."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint

from ..models.monitor import MODES, Monitor
from .best_weights import RestoreBestWeights
from .checkpoint_bundle import CheckpointBundle
from .fine_tuning import StagedFineTuning


@dataclass(frozen=True)
class EarlyStoppingSettings:
    """When to stop before the last epoch.

    Attributes:
        patience: epochs without improvement of the monitored metric; None never stops early.
        min_delta: a smaller change is no improvement.
    """

    patience: int | None = None
    min_delta: float = 0.0


def build_callbacks(
    monitor: Monitor, early_stopping: EarlyStoppingSettings, directory: Path, config: dict[str, Any]
) -> list[Callback]:
    """Callbacks of a training that writes ``best.ckpt`` and ``last.ckpt`` into ``directory/checkpoints``."""
    mode = MODES[monitor]
    checkpointing = ModelCheckpoint(
        directory / "checkpoints",
        filename="best",
        monitor=monitor,
        mode=mode,
        save_last=True,
        auto_insert_metric_name=False,
        enable_version_counter=False,
    )
    callbacks: list[Callback] = [
        checkpointing,
        CheckpointBundle(config),
        RestoreBestWeights(),
        StagedFineTuning(),
        LearningRateMonitor(logging_interval="epoch"),
    ]
    if early_stopping.patience is not None:
        callbacks.append(EarlyStopping(monitor, early_stopping.min_delta, early_stopping.patience, mode=mode))
    return callbacks
