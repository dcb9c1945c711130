"""Augmentation of training batches with torchvision transforms, with new random parameters for every image."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms import v2

from .labelled_images import Augmentation

AugmentationName = Literal["none", "light", "standard"]


class PerImage:
    """Applies a torchvision v2 transform to each image separately; v2 itself draws parameters once per batch."""

    def __init__(self, transform: v2.Transform) -> None:
        self.transform = transform

    def __call__(self, images: Tensor) -> Tensor:
        """Map uint8 (B, C, H, W) to uint8 of the same shape."""
        return torch.stack([self.transform(image) for image in images])


def build_augmentation(name: AugmentationName, image_size: int, *, mirror: bool) -> Augmentation | None:
    """Build the augmentation of the given name.

    ``light`` shifts by up to a 14th of the side. ``standard`` crops a random part of 35 to 100 % of the area and scales
    it back (Szegedy et al. 2015, section 6). With ``mirror``, both also flip images horizontally; this is right for
    photographs, but not for digits.
    """
    if name == "none":
        return None
    geometry: v2.Transform = (
        v2.RandomCrop(image_size, padding=max(1, image_size // 14))
        if name == "light"
        else v2.RandomResizedCrop(image_size, scale=(0.35, 1.0), antialias=True)
    )
    return PerImage(v2.Compose([geometry, v2.RandomHorizontalFlip()]) if mirror else geometry)
