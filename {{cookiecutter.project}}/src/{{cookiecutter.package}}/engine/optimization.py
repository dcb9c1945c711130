"""Settings of a training, optimizers and learning-rate schedules; all parameter groups exist from the first step."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch import nn
from torch.optim import Optimizer, lr_scheduler

from ..errors import UserError
from ..facts import mode_of
from ..values import Count, Fraction, NonNegative, Positive, Share, Whole
from .reading import require_values


@dataclass(frozen=True)
class OptimizerSettings:
    """Settings of the optimizer.

    Attributes:
        name: ``sgd`` (with Nesterov momentum), ``adam`` or ``adamw``.
        lr: learning rate; the peak value with ``onecycle`` and ``cosine``.
        weight_decay: L2 penalty; decoupled weight decay with ``adamw`` (Loshchilov and Hutter, 2019).
        momentum: momentum of ``sgd``.
        gradient_clip_norm: maximum 2-norm of all gradients together; None disables clipping.
        lr_for_batch_size: batch size over all processes for which ``lr`` was chosen; ``lr`` is scaled in proportion to
            the batch size of this training. None does not scale.
    """

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Positive = 1e-3
    weight_decay: NonNegative = 0.01
    momentum: Share = 0.9
    gradient_clip_norm: Positive | None = None
    lr_for_batch_size: Count | None = None

    def __post_init__(self) -> None:
        require_values(type(self), vars(self), "model.optimizer")

    def for_batch(self, num_images: int) -> Self:
        """Settings for steps of ``num_images`` images, by the linear scaling rule (Goyal et al., 2017, section 2.1)."""
        if self.lr_for_batch_size is None:
            return self
        return replace(self, lr=self.lr * num_images / self.lr_for_batch_size)


@dataclass(frozen=True)
class EarlyStoppingSettings:
    """When to stop before the last epoch.

    Attributes:
        patience: epochs without improvement of the monitored metric; None never stops early.
        min_delta: smallest change that counts as an improvement.
    """

    patience: Whole | None = None
    min_delta: NonNegative = 0.0

    def __post_init__(self) -> None:
        require_values(type(self), vars(self), "early_stopping")


@dataclass(frozen=True)
class AveragingSettings:
    """Whether validation, checkpoints and test use weights averaged over steps.

    Attributes:
        ema_decay: decay of the exponential moving average, such as 0.999; None does not average.
    """

    ema_decay: Share | None = None

    def __post_init__(self) -> None:
        require_values(type(self), vars(self), "averaging")


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate: ``lr_factor`` times the optimizer's."""

    name: str
    parameters: list[nn.Parameter]
    lr_factor: float = 1.0


def build_optimizer(settings: OptimizerSettings, groups: Iterable[ParameterGroup], *, fused: bool) -> Optimizer:
    """An optimizer with a named parameter group for each group, including frozen ones; ``fused`` uses one kernel."""
    params = [{"name": group.name, "params": group.parameters, "lr": settings.lr * group.lr_factor} for group in groups]
    algorithms: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    options: dict[str, Any] = {"weight_decay": settings.weight_decay, "fused": fused or None}  # None: torch decides
    if settings.name == "sgd":
        options |= {"momentum": settings.momentum, "nesterov": settings.momentum > 0}
    return algorithms[settings.name](params, settings.lr, **options)


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
    warmup_fraction: Share = 0.3
    warmup_epochs: NonNegative = 0.0
    step_epochs: Count = 10
    patience: Whole = 3
    factor: Fraction = 0.1

    def __post_init__(self) -> None:
        require_values(type(self), vars(self), "model.schedule")


def build_schedule(
    settings: ScheduleSettings, optimizer: Optimizer, num_steps: int, num_epochs: int, monitor: str
) -> LRSchedulerConfigType:
    """A schedule over the steps and epochs of a whole training; ``plateau`` watches ``monitor``."""
    scheduler: lr_scheduler.LRScheduler
    if settings.name == "onecycle":
        peaks = [group["lr"] for group in optimizer.param_groups]
        scheduler = lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=num_steps, pct_start=settings.warmup_fraction)
    elif settings.name == "cosine":
        if settings.warmup_epochs >= num_epochs:
            raise UserError(
                f"model.schedule.warmup_epochs is {settings.warmup_epochs}; it must be less than the {num_epochs} "
                "epochs of the training. Lower it, or raise trainer.max_epochs."
            )
        warmup_steps = round(num_steps * settings.warmup_epochs / num_epochs)
        if warmup_steps == 0:
            scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_steps)
        else:
            warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=warmup_steps)
            decay = lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_steps - warmup_steps)
            scheduler = lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[warmup_steps])
    elif settings.name == "plateau":
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode_of(monitor), settings.factor, settings.patience)
    elif settings.name == "step":
        scheduler = lr_scheduler.StepLR(optimizer, settings.step_epochs, settings.factor)
    else:
        scheduler = lr_scheduler.ConstantLR(optimizer, factor=1.0)
    interval = "step" if settings.name in {"onecycle", "cosine"} else "epoch"
    return {"scheduler": scheduler, "interval": interval, "monitor": monitor, "name": "lr"}
