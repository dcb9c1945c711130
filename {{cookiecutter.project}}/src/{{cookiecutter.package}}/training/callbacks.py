"""The callbacks of every training, all watching the same metric."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint

from ..models.monitor import MODES, Monitor
from ..models.settings import require_range
from .best_weights import RestoreBestWeights
from .checkpoint_bundle import CheckpointBundle
from .feature_cache import CachedFeatures
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


@dataclass(frozen=True)
class AveragingSettings:
    """Whether validation, checkpoints and test use averaged weights: smoother ones than those of the last step.

    Attributes:
        ema_decay: of the exponential moving average over steps, such as 0.999; None averages nothing.
    """

    ema_decay: float | None = None

    def __post_init__(self) -> None:
        if self.ema_decay is not None:
            require_range("averaging.ema_decay", self.ema_decay, 0.0, 1.0)


def build_callbacks(
    monitor: Monitor,
    early_stopping: EarlyStoppingSettings,
    averaging: AveragingSettings,
    features: CachedFeatures,
    directory: Path,
    config: dict[str, Any],
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
        features,
        LearningRateMonitor(logging_interval="epoch"),
    ]
    if early_stopping.patience is not None:
        callbacks.append(EarlyStopping(monitor, early_stopping.min_delta, early_stopping.patience, mode=mode))
    if averaging.ema_decay is not None:
        callbacks.append(EMAWeightAveraging(decay=averaging.ema_decay))
    return callbacks
