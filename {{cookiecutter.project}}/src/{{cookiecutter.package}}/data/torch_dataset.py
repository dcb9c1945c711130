"""Data module for any ``torch.utils.data.Dataset`` of images."""

from abc import abstractmethod
from functools import cached_property
from typing import Any

from torch.utils.data import Dataset

from ..engine.image_cache import DatasetImages, read_dataset
from ..engine.images import LabelledImages
from ..engine.splits import SPLITS, Split
from ..errors import UserError
from .base import DecodedDataModule


class TorchDatasetDataModule(DecodedDataModule):
    """Images of a map-style ``torch.utils.data.Dataset``. Subclasses define ``class_names`` and ``dataset``.

    An item is a pair of an image and a label. The image is a PIL image, a uint8 array (H, W) or (H, W, C) or a uint8
    tensor (C, H, W), of any size, with 1, 3 or 4 channels; it is the same at each access, because augmentation is an
    option of the data module. The label is an integer, 0 to K - 1, the position in ``class_names``.

    All items are read once, by ``num_workers`` processes if there are any. Images that fit into ``memory_budget_gb``
    stay in memory; others are read from the dataset again in each epoch.
    """

    @abstractmethod
    def dataset(self, split: Split) -> Dataset[Any]:
        """The items of one split, which is not one of ``carved``. A download goes into ``prepare_data``."""

    @cached_property
    def datasets(self) -> dict[Split, Any]:
        found = {split: self.dataset(split) for split in SPLITS if split not in self.carved}
        for split, dataset in found.items():
            if not hasattr(dataset, "__len__") or not len(dataset):
                raise UserError(f"the dataset of {split}, a {type(dataset).__name__}, must have a length above 0.")
        return found

    def names(self, split: Split) -> list[str]:
        """Names of the images, which reports show; override to give others, the same in every run."""
        return [f"{split}/{position}" for position in range(len(self.datasets[split]))]

    def load_split(self, split: Split) -> LabelledImages:
        images = DatasetImages(self.datasets[split], self.decoding, len(self.class_names), split)
        in_memory = self.fits_in_memory(sum(map(len, self.datasets.values())))
        return read_dataset(images, self.names(split), self.num_workers, in_memory=in_memory)
