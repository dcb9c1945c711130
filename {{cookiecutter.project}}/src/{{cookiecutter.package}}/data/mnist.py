"""MNIST and Fashion-MNIST: 60,000 images for training and validation, and the official 10,000 test images."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from torchvision import datasets

from ..errors import UserError
from .augmentation import AugmentationName
from .base import ImageDataModule
from .facts import ImageFacts
from .labelled_images import LabelledImages
from .splits import Split, carve

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class MNISTDataModule(ImageDataModule):
    """LeCun, Cortes and Burges' handwritten digits, 28 x 28, grey.

    Args:
        root: folder that contains ``MNIST/raw/``; missing files are downloaded into it.
        batch_size: images per training step and process; evaluation uses batches four times as large.
        num_workers: number of loader processes; 0 is fastest for images in memory.
        augmentation: augmentation of the training images.
        val_fraction: share of the 60,000 training images held out for validation.
        split_seed: seed of the carved split.
    """

    mirror = False
    source: ClassVar[type[datasets.MNIST]] = datasets.MNIST

    def __init__(
        self,
        root: str = "data/",
        batch_size: int = 128,
        num_workers: int = 0,
        augmentation: AugmentationName = "none",
        val_fraction: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, num_workers, augmentation, val_fraction, split_seed)
        self.root = root

    @property
    def facts(self) -> ImageFacts:
        names = [str(digit) for digit in range(10)]
        return ImageFacts(names, num_channels=1, image_size=28, mean=[0.1307], std=[0.3081])

    def prepare_data(self) -> None:
        """Download missing files, on one process.

        Raises:
            UserError: the download failed; the message says where to put which files.
        """
        folder = Path(self.root, self.source.__name__, "raw")
        if all((folder / name).exists() for name in IDX_FILES):
            return
        try:
            for train in (True, False):
                self.source(self.root, train=train, download=True)
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"data.root is {self.root!r}: {self.source.__name__} is not there and could not be downloaded "
                f"({reason}). Put these four files, with or without .gz, into {folder}: {', '.join(IDX_FILES)}. "
                "Or pass --data.root with the folder that holds them."
            ) from error

    def load_split(self, split: Split) -> LabelledImages:
        return self._official("test") if split == "test" else self._carved[split]

    @cached_property
    def _carved(self) -> dict[Split, LabelledImages]:
        """The official training images, split into train and val."""
        images, names = self._official("train"), self.facts.class_names
        train, val = carve(images.labels.tolist(), self.val_fraction, self.split_seed, name="val", class_names=names)
        return {"train": images.subset(train), "val": images.subset(val)}

    def _official(self, part: Literal["train", "test"]) -> LabelledImages:
        source = self.source(self.root, train=part == "train")
        names = [f"{part}/{i}" for i in range(len(source.targets))]
        return LabelledImages(source.data.unsqueeze(1), source.targets.long(), names)  # (N, 1, 28, 28)


class FashionMNISTDataModule(MNISTDataModule):
    """Zalando's articles of clothing (Xiao, Rasul and Vollgraf, 2017), 28 x 28, grey, in MNIST's file format."""

    mirror = True
    source: ClassVar[type[datasets.MNIST]] = datasets.FashionMNIST

    @property
    def facts(self) -> ImageFacts:
        return ImageFacts(datasets.FashionMNIST.classes, num_channels=1, image_size=28, mean=[0.2860], std=[0.3530])
