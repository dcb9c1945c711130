"""Augmentation of training batches with torchvision transforms, with new random parameters for every image."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms import v2

from ..engine.images import Augmentation

# Each builds a transform of one uint8 image (C, S, S) to another of the same shape, given the side S in pixels. Flips
# are not among them, because the data set decides whether a mirrored image keeps its class.
TRANSFORMS: dict[str, Callable[[int], v2.Transform]] = {
    # Shifts by up to a 14th of the side.
    "light": lambda side: v2.RandomCrop(side, padding=max(1, side // 14)),
    # Crops a random part of 35 to 100 % of the area and scales it back (Szegedy et al. 2015, section 6).
    "standard": lambda side: v2.RandomResizedCrop(side, scale=(0.35, 1.0), antialias=True),
}
AugmentationName = Literal[("none", *TRANSFORMS)]  # type: ignore[valid-type]


def transform_each(transform: v2.Transform, images: Tensor) -> Tensor:
    """Transform each image of (B, C, H, W) separately; torchvision's v2 itself draws parameters once per batch."""
    return torch.stack([transform(image) for image in images])


def build_augmentation(name: AugmentationName, image_size: int, *, mirror: bool) -> Augmentation | None:
    """Build the augmentation of that name; with ``mirror``, it also flips images horizontally."""
    if name == "none":
        return None
    transform = TRANSFORMS[name](image_size)
    return partial(transform_each, v2.Compose([transform, v2.RandomHorizontalFlip()]) if mirror else transform)
