"""The callbacks of every training; all of them use the same metric."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, LearningRateMonitor

from ..models.monitor import MODES, Monitor
from ..models.settings import require_range
from .best_weights import RestoreBestWeights
from .checkpoints import LAST, BestAndLast, SaveEvery
from .divergence import LOSSES, StopWhenDiverged
from .exact_resume import ExactResume
from .fine_tuning import StagedFineTuning
from .shared_buffers import ShareBuffers
from .step_size import SayStepSize


@dataclass(frozen=True)
class EarlyStoppingSettings:
    """When to stop before the last epoch.

    Attributes:
        patience: epochs without improvement of the monitored metric; None never stops early.
        min_delta: smallest change that counts as an improvement.
    """

    patience: int | None = None
    min_delta: float = 0.0


@dataclass(frozen=True)
class AveragingSettings:
    """Whether validation, checkpoints and test use weights averaged over steps.

    Attributes:
        ema_decay: decay of the exponential moving average, such as 0.999; None does not average.
    """

    ema_decay: float | None = None

    def __post_init__(self) -> None:
        if self.ema_decay is not None:
            require_range("averaging.ema_decay", self.ema_decay, 0.0, 1.0)


def build_callbacks(
    monitor: Monitor,
    early_stopping: EarlyStoppingSettings,
    averaging: AveragingSettings,
    checkpoint_every_minutes: float | None,
    directory: Path,
) -> list[Callback]:
    """Callbacks of a training that writes ``best.ckpt`` and ``last.ckpt`` into ``directory/checkpoints``."""
    folder = directory / "checkpoints"
    callbacks: list[Callback] = [
        BestAndLast(folder, monitor),
        RestoreBestWeights(),
        StagedFineTuning(),
        ExactResume(),
        LearningRateMonitor(logging_interval="epoch"),
        SayStepSize(),
        *map(StopWhenDiverged, LOSSES),
    ]
    if checkpoint_every_minutes is not None:
        callbacks.append(SaveEvery(checkpoint_every_minutes, folder / LAST))
    if early_stopping.patience is not None:
        callbacks.append(EarlyStopping(monitor, early_stopping.min_delta, early_stopping.patience, mode=MODES[monitor]))
    if averaging.ema_decay is not None:
        callbacks.append(EMAWeightAveraging(decay=averaging.ema_decay))
    return [*callbacks, ShareBuffers()]
