"""A decoded split, and the data set that serves whole batches of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .image_stores import Images

Batch = tuple[Tensor, Tensor]
Augmentation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LabelledImages:
    """One decoded split.

    Attributes:
        images: uint8 (N, C, H, W), 0 to 255, as a tensor or an object indexed like one; or features (N, F).
        labels: int64 (N,), 0 to K - 1.
        names: N names that are the same in every run, such as paths relative to the data root.
    """

    images: Images
    labels: Tensor
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Sequence[int]) -> LabelledImages:
        """The images at ``indices``, in that order, copied."""
        index = torch.as_tensor(indices)
        return LabelledImages(self.images[index], self.labels[index], [self.names[i] for i in indices])


class SeededIndices(list[int]):
    """Indices of a training batch.

    Attributes:
        seed: seed of the batch's augmentation.
    """

    def __init__(self, indices: Iterable[int], seed: int) -> None:
        super().__init__(indices)
        self.seed = seed


class BatchDataset(Dataset[Batch]):
    """Serves a split to a standard ``DataLoader``, one batch of indices at a time.

    Attributes:
        split: the images and labels to serve.
        augmentation: augmentation of the images.
        features: if set, served in place of the split, without augmentation.
    """

    def __init__(self, split: LabelledImages, augmentation: Augmentation | None = None) -> None:
        self.split = split
        self.augmentation = augmentation
        self.features: LabelledImages | None = None

    def __getstate__(self) -> dict[str, Any]:
        """State sent to loader workers: tensors, whose memory is shared, but not the names, which are not needed."""
        return self.__dict__ | {"split": LabelledImages(self.split.images, self.split.labels, ())}

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Batch:
        images, labels = self.__getitems__([index])
        return images[0], labels[0]

    def __getitems__(self, indices: list[int]) -> Batch:
        """Gather a batch: images (B, C, H, W) in the range 0 to 255, and labels (B,)."""
        index = torch.tensor(indices)
        if self.features is not None:
            return self.features.images[index], self.features.labels[index]
        images = self.split.images[index]
        if self.augmentation is not None:
            if isinstance(indices, SeededIndices):
                torch.default_generator.manual_seed(indices.seed)
            images = self.augmentation(images)
        return images, self.split.labels[index]


def keep_batch(batch: Any) -> Any:
    """``collate_fn`` for ``__getitems__``, which returns whole batches (a lambda could not be pickled)."""
    return batch
