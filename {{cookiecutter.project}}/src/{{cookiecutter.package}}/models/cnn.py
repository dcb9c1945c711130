"""A small convolutional network, trained from scratch."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from ..errors import UserError
from ..facts import ImageFacts
from ..values import Depth, Share, Size
from .classifier import ACTIVATIONS, Activation, ImageClassifier

Pool = Literal["average", "max", "none"]


def build_block(num_inputs: int, width: int, num_convolutions: int, activation: Activation) -> nn.Sequential:
    """3 x 3 convolutions with batch norm and activation; pooling after the last convolution halves the side.

    Pooling comes before batch norm and activation, which then process a quarter of the values. This saves 25 to 50 %
    of the training time.
    """
    layers: list[nn.Module] = []
    for position in range(1, num_convolutions + 1):
        layers.append(nn.Conv2d(num_inputs, width, kernel_size=3, padding=1, bias=False))
        if position == num_convolutions:
            layers.append(nn.MaxPool2d(2))
        layers += [nn.BatchNorm2d(width), ACTIVATIONS[activation]()]
        num_inputs = width
    return nn.Sequential(*layers)


def build_cnn(
    facts: ImageFacts,
    widths: Sequence[int],
    num_convolutions: int,
    pool: Pool,
    dropout: float,
    activation: Activation = "relu",
) -> nn.Sequential:
    """One block per width, global pooling, dropout and a linear layer to the logits; in channels-last format."""
    inputs = [facts.num_channels, *widths]
    pairs = zip(inputs, widths, strict=False)
    blocks = [build_block(before, after, num_convolutions, activation) for before, after in pairs]
    side = facts.image_size >> len(widths)
    pools = {"average": nn.AdaptiveAvgPool2d(1), "max": nn.AdaptiveMaxPool2d(1), "none": nn.Identity()}
    num_features = widths[-1] * (side**2 if pool == "none" else 1)
    head = [pools[pool], nn.Flatten(), nn.Dropout(dropout), nn.Linear(num_features, facts.num_classes)]
    return nn.Sequential(*blocks, *head).to(memory_format=torch.channels_last)


class CNNClassifier(ImageClassifier):
    """Convolutional blocks, each of which halves the side of the image.

    Args:
        facts: facts of the data set.
        widths: number of channels of each block.
        num_convolutions: convolutions per block.
        pool: global pooling after the last block: ``average``, ``max``, or ``none``, which keeps all positions.
        dropout: dropout rate of the pooled features.
        activation: activation function of the blocks.
        training: training settings; see ``ImageClassifier``.
    """

    def __init__(
        self,
        facts: ImageFacts,
        widths: Sequence[Size] = (32, 64, 128),
        num_convolutions: Depth = 1,
        pool: Pool = "average",
        dropout: Share = 0.1,
        activation: Activation = "relu",
        **training: Any,
    ) -> None:
        super().__init__(facts, **training)
        side = self.facts.image_size
        if not widths or side >> len(widths) == 0:
            raise UserError(
                f"model.widths has {len(widths)} blocks; images of {side} pixels allow 1 to {side.bit_length() - 1}, "
                "because each block halves the side. Give fewer widths or larger images."
            )
        self.network = build_cnn(self.facts, widths, num_convolutions, pool, dropout, activation)
