"""Optimizers; all parameter groups exist from the first step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from .settings import require_above_zero


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
    lr: float = 1e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    gradient_clip_norm: float | None = None
    lr_for_batch_size: int | None = None

    def __post_init__(self) -> None:
        require_above_zero("model.optimizer.lr", self.lr)
        if self.gradient_clip_norm is not None:
            require_above_zero("model.optimizer.gradient_clip_norm", self.gradient_clip_norm)
        if self.lr_for_batch_size is not None:
            require_above_zero("model.optimizer.lr_for_batch_size", self.lr_for_batch_size)

    def for_batch(self, num_images: int) -> OptimizerSettings:
        """Settings for steps of ``num_images`` images, by the linear scaling rule (Goyal et al., 2017, section 2.1)."""
        if self.lr_for_batch_size is None:
            return self
        return replace(self, lr=self.lr * num_images / self.lr_for_batch_size)


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate: ``lr_factor`` times the optimizer's."""

    name: str
    parameters: list[nn.Parameter]
    lr_factor: float = 1.0


def build_optimizer(settings: OptimizerSettings, groups: Iterable[ParameterGroup], *, fused: bool) -> Optimizer:
    """Build an optimizer with one named parameter group for each of ``groups``, including frozen parameters.

    ``fused`` updates all tensors of a device in one kernel.
    """
    params: list[dict[str, Any]] = [
        {"name": group.name, "params": group.parameters, "lr": settings.lr * group.lr_factor} for group in groups
    ]
    common: dict[str, Any] = {"weight_decay": settings.weight_decay, "fused": fused or None}  # None: torch decides
    if settings.name == "sgd":
        momentum: dict[str, Any] = {"momentum": settings.momentum, "nesterov": settings.momentum > 0}
        return torch.optim.SGD(params, settings.lr, **momentum, **common)
    algorithm = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return algorithm(params, settings.lr, **common)
