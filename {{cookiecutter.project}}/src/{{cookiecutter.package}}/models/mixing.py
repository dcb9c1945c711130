"""Training on mixtures of images: mixup and CutMix, by torchvision."""

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
    """Whether training images are mixed, in pairs, and their labels with them.

    Attributes:
        name: how pairs are mixed; ``mixup`` blends two images (Zhang et al., 2018), ``cutmix`` puts a part of one into
            the other (Yun et al., 2019), ``both`` draws one of these for each batch.
        alpha: parameter of the beta distribution of the shares; a smaller one mixes less.
    """

    name: Literal["none", "mixup", "cutmix", "both"] = "none"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        require_above_zero("model.mix.alpha", self.alpha)


def build_mix(settings: MixSettings, num_classes: int) -> Mix | None:
    """What maps float images (N, C, H, W) and labels (N,) to mixed images and soft labels (N, K); None for ``none``."""
    mixup = v2.MixUp(alpha=settings.alpha, num_classes=num_classes)
    cutmix = v2.CutMix(alpha=settings.alpha, num_classes=num_classes)
    transforms: dict[str, Mix | None] = {
        "none": None,
        "mixup": mixup,
        "cutmix": cutmix,
        "both": v2.RandomChoice([mixup, cutmix]),
    }
    return transforms[settings.name]
