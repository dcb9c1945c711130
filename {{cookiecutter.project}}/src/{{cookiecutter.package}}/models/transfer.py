"""A pretrained backbone under a new head: first frozen, then fine-tuned."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..data.facts import ImageFacts
from ..errors import UserError
from .backbones import build_backbone, stages
from .base import ImageClassifier
from .monitor import Monitor
from .optimizers import OptimizerSettings, ParameterGroup
from .preprocessing import Preprocess
from .schedules import ScheduleSettings
from .settings import require_range


class TransferClassifier(ImageClassifier):
    """A backbone of torchvision or timm, dropout, and a linear head.

    Grey images become RGB, and mean and std are those of the weights.

    Args:
        facts: of the data set; the CLI fills them in.
        backbone: a torchvision classification model, or ``timm/`` and a timm model.
        weights: ``DEFAULT`` (downloaded once), ``none`` (random), or the path of a file.
        input_size: side in pixels to resize images to; None keeps the data set's.
        head_epochs: epochs in which only the head is trained.
        unfreeze: what of the backbone is trained after them: ``all``, ``none``, or its last N stages.
        backbone_lr_factor: learning rate of the backbone, as a share of the head's.
        dropout: share of features zeroed in training, before the head.
        optimizer: how weights are updated.
        schedule: how the learning rate changes.
        label_smoothing: share of the target spread over all classes.
        monitor: the metric that the plateau schedule watches; the CLI fills it in.
    """

    def __init__(
        self,
        facts: ImageFacts,
        backbone: str = "timm/efficientnet_lite0",
        weights: str = "DEFAULT",
        input_size: int | None = None,
        head_epochs: int = 3,
        unfreeze: int | Literal["all", "none"] = "all",
        backbone_lr_factor: float = 0.1,
        dropout: float = 0.2,
        optimizer: OptimizerSettings = OptimizerSettings(),
        schedule: ScheduleSettings = ScheduleSettings(),
        label_smoothing: float = 0.0,
        monitor: Monitor = "val/loss",
    ) -> None:
        super().__init__(facts, optimizer, schedule, label_smoothing, monitor)
        require_range("model.dropout", dropout, 0.0, 1.0)
        self.save_hyperparameters(logger=False)
        self.head_epochs = head_epochs
        self.backbone_lr_factor = backbone_lr_factor
        built = build_backbone(backbone, weights)
        self.preprocess = Preprocess(built.mean, built.std, input_size)
        self.backbone = built.network.to(memory_format=torch.channels_last)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(built.num_features, self.facts.num_classes))
        self.frozen_after_head_stage = left_frozen(self.backbone, unfreeze)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(self.preprocess(images)).flatten(1))

    def parameter_groups(self) -> list[ParameterGroup]:
        return [
            ParameterGroup("backbone", list(self.backbone.parameters()), self.backbone_lr_factor),
            ParameterGroup("head", list(self.head.parameters())),
        ]

    def networks(self) -> list[nn.Module]:
        return [self.backbone, self.head]

    def frozen_modules(self, epoch: int) -> list[nn.Module]:
        return [self.backbone] if epoch < self.head_epochs else self.frozen_after_head_stage


def left_frozen(backbone: nn.Module, unfreeze: int | Literal["all", "none"]) -> list[nn.Module]:
    """The parts of the backbone that are never trained."""
    if unfreeze == "none":
        return [backbone]
    if unfreeze == "all":
        return []
    parts = stages(backbone)
    if not 1 <= unfreeze <= len(parts):
        raise UserError(f"model.unfreeze is {unfreeze}; allowed: all, none, or 1 to {len(parts)} stages.")
    return parts[: len(parts) - unfreeze]
