"""A small convolutional network, trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from ..data.facts import ImageFacts
from ..errors import UserError
from .base import ImageClassifier
from .mixing import MixSettings
from .monitor import Monitor
from .optimizers import OptimizerSettings
from .schedules import ScheduleSettings
from .settings import require_range

Pool = Literal["average", "max", "none"]


def build_block(num_inputs: int, width: int, num_convolutions: int) -> nn.Sequential:
    """3 x 3 convolutions with batch norm and ReLU; pooling after the last of them halves the side.

    Pooling comes before batch norm and ReLU, which then have a quarter of the work: 25 to 50 % of a training's time.
    """
    layers: list[nn.Module] = []
    for position in range(1, num_convolutions + 1):
        layers.append(nn.Conv2d(num_inputs, width, kernel_size=3, padding=1, bias=False))
        if position == num_convolutions:
            layers.append(nn.MaxPool2d(2))
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        num_inputs = width
    return nn.Sequential(*layers)


def build_cnn(
    image_size: int,
    num_channels: int,
    widths: Sequence[int],
    num_convolutions: int,
    pool: Pool,
    num_classes: int,
    dropout: float,
) -> nn.Sequential:
    """A block for each width, pooling over what is left of the image, dropout and the logits; channels last."""
    inputs = [num_channels, *widths]
    blocks = [build_block(before, after, num_convolutions) for before, after in zip(inputs, widths, strict=False)]
    side = image_size >> len(widths)
    pools = {"average": nn.AdaptiveAvgPool2d(1), "max": nn.AdaptiveMaxPool2d(1), "none": nn.Identity()}
    num_features = widths[-1] * (side**2 if pool == "none" else 1)
    head = [pools[pool], nn.Flatten(), nn.Dropout(dropout), nn.Linear(num_features, num_classes)]
    return nn.Sequential(*blocks, *head).to(memory_format=torch.channels_last)


class CNNClassifier(ImageClassifier):
    """Convolutional blocks, each at half the side of the one before.

    Args:
        facts: of the data set; the CLI fills them in.
        widths: channels of each block.
        num_convolutions: convolutions in a block.
        pool: over what the blocks leave of the image: ``average``, ``max``, or ``none``, which keeps every position.
        dropout: share of pooled features zeroed in training.
        optimizer: how weights are updated.
        schedule: how the learning rate changes.
        label_smoothing: share of the target spread over all classes.
        mix: whether training images are mixed in pairs.
        monitor: the metric that the plateau schedule watches; the CLI fills it in.
    """

    def __init__(
        self,
        facts: ImageFacts,
        widths: Sequence[int] = (32, 64, 128),
        num_convolutions: int = 1,
        pool: Pool = "average",
        dropout: float = 0.1,
        optimizer: OptimizerSettings = OptimizerSettings(),
        schedule: ScheduleSettings = ScheduleSettings(),
        label_smoothing: float = 0.0,
        mix: MixSettings = MixSettings(),
        monitor: Monitor = "val/loss",
    ) -> None:
        super().__init__(facts, optimizer, schedule, label_smoothing, mix, monitor)
        require_range("model.dropout", dropout, 0.0, 1.0)
        self.save_hyperparameters(logger=False)
        side = self.facts.image_size
        if not widths or side >> len(widths) == 0:
            raise UserError(
                f"model.widths has {len(widths)} blocks, each of which halves the side, and images of {side} pixels "
                f"allow 1 to {side.bit_length() - 1}. Give fewer widths, or larger images."
            )
        num_channels, num_classes = self.facts.num_channels, self.facts.num_classes
        self.network = build_cnn(side, num_channels, widths, num_convolutions, pool, num_classes, dropout)
