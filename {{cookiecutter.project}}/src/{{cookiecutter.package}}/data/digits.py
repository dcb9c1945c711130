"""scikit-learn's 1,797 handwritten digits, 8 x 8 pixels; they need no download."""

from __future__ import annotations

import torch

from .augmentation import AugmentationName
from .base import ImageDataModule, require_fraction
from .facts import ImageFacts
from .labelled_images import LabelledImages
from .splits import Split, carve

CLASS_NAMES = [str(digit) for digit in range(10)]


class DigitsDataModule(ImageDataModule):
    """UCI's optical digits (Alpaydin and Kaynak, 1998), as scikit-learn ships them, with a carved test split.

    Args:
        batch_size: images per training step and process; evaluation uses batches four times as large.
        num_workers: number of loader processes; 0 is fastest for images in memory.
        augmentation: augmentation of the training images.
        val_fraction: share of the images outside the test split that is held out for validation.
        test_fraction: share of the images held out for the test.
        split_seed: seed of the carved splits.
    """

    mirror = False

    def __init__(
        self,
        batch_size: int = 64,
        num_workers: int = 0,
        augmentation: AugmentationName = "none",
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, num_workers, augmentation, val_fraction, split_seed)
        require_fraction("test_fraction", test_fraction)
        self.test_fraction = test_fraction

    @property
    def facts(self) -> ImageFacts:
        return ImageFacts(CLASS_NAMES, num_channels=1, image_size=8, mean=[0.3053], std=[0.3759])

    def load_split(self, split: Split) -> LabelledImages:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = torch.from_numpy(bunch.images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)  # (1797, 1, 8, 8)
        digits = LabelledImages(images, torch.from_numpy(bunch.target).long(), [f"digits/{i}" for i in range(1797)])
        return digits.subset(self._positions(digits.labels.tolist())[split])

    def _positions(self, labels: list[int]) -> dict[Split, list[int]]:
        rest, test = carve(labels, self.test_fraction, self.split_seed, name="test", class_names=CLASS_NAMES)
        rest_labels = [labels[i] for i in rest]
        train, val = carve(rest_labels, self.val_fraction, self.split_seed, name="val", class_names=CLASS_NAMES)
        return {"train": [rest[i] for i in train], "val": [rest[i] for i in val], "test": test}
