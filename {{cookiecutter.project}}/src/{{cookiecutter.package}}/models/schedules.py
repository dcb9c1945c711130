"""Learning-rate schedules over the whole training, the same for all parameter groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from ..errors import UserError
from .monitor import MODES, Monitor
from .settings import require_range

WARMUP_START = 0.01


@dataclass(frozen=True)
class ScheduleSettings:
    """Settings of the learning-rate schedule.

    Attributes:
        name: learning-rate schedule; ``onecycle`` (up, then down to zero; Smith and Topin, 2019) and ``cosine`` change
            the rate at every step, ``plateau`` and ``step`` after an epoch, ``constant`` never.
        warmup_fraction: share of all steps in which the rate rises (``onecycle``).
        warmup_epochs: epochs of linear warm-up (``cosine``).
        step_epochs: epochs between two reductions of the rate (``step``).
        patience: epochs without improvement of the monitored metric before the rate is reduced (``plateau``).
        factor: factor of each reduction (``step`` and ``plateau``).
    """

    name: Literal["onecycle", "cosine", "plateau", "step", "constant"] = "onecycle"
    warmup_fraction: float = 0.3
    warmup_epochs: float = 0.0
    step_epochs: int = 10
    patience: int = 3
    factor: float = 0.1

    def __post_init__(self) -> None:
        require_range("model.schedule.warmup_fraction", self.warmup_fraction, 0.0, 1.0)
        require_range("model.schedule.factor", self.factor, 0.0, 1.0)
        require_range("model.schedule.warmup_epochs", self.warmup_epochs, 0.0, float("inf"))


def build_schedule(
    settings: ScheduleSettings, optimizer: Optimizer, num_steps: int, num_epochs: int, monitor: Monitor
) -> LRSchedulerConfigType:
    """Build a schedule and its Lightning configuration; the rate is logged as ``lr``.

    Args:
        settings: settings of the schedule.
        optimizer: the optimizer; each parameter group keeps its own peak rate.
        num_steps: number of optimizer steps of the whole training.
        num_epochs: number of epochs of the whole training.
        monitor: metric that ``plateau`` watches.

    Raises:
        UserError: the warm-up is not shorter than the training.
    """
    if settings.name == "constant":
        return {"scheduler": ConstantLR(optimizer, factor=1.0), "interval": "epoch", "name": "lr"}
    if settings.name == "plateau":
        plateau = ReduceLROnPlateau(optimizer, MODES[monitor], settings.factor, settings.patience)
        return {"scheduler": plateau, "monitor": monitor, "interval": "epoch", "name": "lr"}
    if settings.name == "step":
        drops = StepLR(optimizer, settings.step_epochs, settings.factor)
        return {"scheduler": drops, "interval": "epoch", "name": "lr"}
    if settings.name == "cosine":
        if settings.warmup_epochs >= num_epochs:
            raise UserError(
                f"model.schedule.warmup_epochs is {settings.warmup_epochs}; it must be less than the {num_epochs} "
                "epochs of the training. Lower it, or raise trainer.max_epochs."
            )
        warmup_steps = round(num_steps * settings.warmup_epochs / num_epochs)
        return {"scheduler": cosine(optimizer, num_steps, warmup_steps), "interval": "step", "name": "lr"}
    peaks = [group["lr"] for group in optimizer.param_groups]
    cycle = OneCycleLR(optimizer, peaks, total_steps=num_steps, pct_start=settings.warmup_fraction)
    return {"scheduler": cycle, "interval": "step", "name": "lr"}


def cosine(optimizer: Optimizer, num_steps: int, warmup_steps: int) -> LRScheduler:
    """Linear warm-up from a hundredth of the learning rate, then cosine decay to zero."""
    if warmup_steps == 0:
        return CosineAnnealingLR(optimizer, T_max=num_steps)
    warmup = LinearLR(optimizer, start_factor=WARMUP_START, total_iters=warmup_steps)
    decay = CosineAnnealingLR(optimizer, T_max=num_steps - warmup_steps)
    return SequentialLR(optimizer, [warmup, decay], milestones=[warmup_steps])
