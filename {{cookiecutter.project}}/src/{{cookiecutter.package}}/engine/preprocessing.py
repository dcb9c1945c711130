"""The first layer of every model, the facts that it and the loss need, and mixup and CutMix of training images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from ..values import Positive
from .reading import require_values


class Preprocess(nn.Module):
    """Maps pixels (N, C, H, W) in 0 to 255, uint8 or float, to normalised floats (N, len(mean), S, S).

    Mean and std are of pixels in [0, 1], and saved in checkpoints. S is ``input_size``; None keeps the images' size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], input_size: int | None = None) -> None:
        super().__init__()
        self.input_size = input_size
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.to(self.mean.dtype)
        if self.input_size is not None and pixels.shape[-1] != self.input_size:
            size = (self.input_size, self.input_size)
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        return (pixels - self.mean) / self.std


def for_channels(values: Sequence[float], num_channels: int) -> list[float]:
    """Mean or std of each channel, for images with ``num_channels``: that of all channels if their number differs."""
    return list(values) if len(values) == num_channels else [sum(values) / len(values)] * num_channels


def class_weights(counts: Tensor) -> Tensor:
    """(K,) weights N / (K * images of the class) from the counts (K,); a class of average size has weight 1."""
    return counts.sum() / (len(counts) * counts)


Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class MixSettings:
    """Settings of mixup and CutMix, which mix pairs of training images and their labels.

    Attributes:
        name: how pairs of training images are mixed; ``mixup`` blends two images (Zhang et al., 2018), ``cutmix``
            pastes a part of one into the other (Yun et al., 2019), ``both`` chooses one of them for each batch.
        alpha: parameter of the beta distribution of the mixing ratio; smaller values mix less.
    """

    name: Literal["none", "mixup", "cutmix", "both"] = "none"
    alpha: Positive = 1.0

    def __post_init__(self) -> None:
        require_values(type(self), vars(self), "model.mix")


def build_mix(settings: MixSettings, num_classes: int) -> Mix | None:
    """A transform of float images (N, C, H, W) and labels (N,) to mixed images and soft labels (N, K), or None."""
    mixup = v2.MixUp(alpha=settings.alpha, num_classes=num_classes)
    cutmix = v2.CutMix(alpha=settings.alpha, num_classes=num_classes)
    both = v2.RandomChoice([mixup, cutmix])
    return {"none": None, "mixup": mixup, "cutmix": cutmix, "both": both}[settings.name]
