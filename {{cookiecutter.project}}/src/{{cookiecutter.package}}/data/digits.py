"""scikit-learn's 1,797 handwritten digits, 8 x 8 pixels; they need no download."""

from typing import Any

import torch

from ..engine.images import LabelledImages
from ..engine.splits import Split
from ..facts import ImageFacts
from ..values import Count, Fraction
from .base import ImageDataModule


class DigitsDataModule(ImageDataModule):
    """UCI's optical digits (Alpaydin and Kaynak, 1998), as scikit-learn ships them."""

    mirror = False
    carved = ("test", "val")

    def __init__(self, batch_size: Count = 64, test_fraction: Fraction = 0.2, **loading: Any) -> None:
        super().__init__(batch_size, test_fraction=test_fraction, **loading)

    @property
    def facts(self) -> ImageFacts:
        names = [str(digit) for digit in range(10)]
        return ImageFacts(names, num_channels=1, image_size=8, mean=[0.3053], std=[0.3759])

    def load_split(self, split: Split) -> LabelledImages:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = torch.from_numpy(bunch.images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)  # (1797, 1, 8, 8)
        names = [f"digits/{position}" for position in range(len(images))]
        return LabelledImages(images, torch.from_numpy(bunch.target).long(), names)
