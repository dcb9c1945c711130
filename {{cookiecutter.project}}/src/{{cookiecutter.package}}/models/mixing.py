"""Mixup and CutMix of training images, by torchvision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torchvision.transforms import v2

from .settings import require_above_zero

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
    alpha: float = 1.0

    def __post_init__(self) -> None:
        require_above_zero("model.mix.alpha", self.alpha)


def build_mix(settings: MixSettings, num_classes: int) -> Mix | None:
    """A transform of float images (N, C, H, W) and labels (N,) to mixed images and soft labels (N, K), or None."""
    mixup = v2.MixUp(alpha=settings.alpha, num_classes=num_classes)
    cutmix = v2.CutMix(alpha=settings.alpha, num_classes=num_classes)
    transforms: dict[str, Mix | None] = {
        "none": None,
        "mixup": mixup,
        "cutmix": cutmix,
        "both": v2.RandomChoice([mixup, cutmix]),
    }
    return transforms[settings.name]
