"""Decoded images in memory, on disk or decoded at each access, and the data set that serves whole batches of them."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import UserError
from ..predictor import Decoding, error_text, read_file


class Images(Protocol):
    """N images that can be indexed by a tensor of positions, for example a tensor (N, C, H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor, /) -> Tensor:
        """Gather uint8 (B, C, H, W) at the positions ``index`` (B,)."""
        ...


@dataclass(frozen=True)
class MappedImages:
    """A file of consecutive uint8 images (H, W, C), mapped again for each batch: only one batch stays in memory."""

    file: Path
    decoding: Decoding

    def __len__(self) -> int:
        return self.file.stat().st_size // self.decoding.num_bytes

    def __getitem__(self, index: Tensor, /) -> Tensor:
        mapped = np.memmap(self.file, mode="r", shape=(len(self), *self.decoding.shape))
        return torch.from_numpy(np.asarray(mapped[index.numpy()])).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class SelectedImages:
    """The images at ``rows`` (N,) of ``images``, gathered at each access. Loader workers share the tensor's memory."""

    images: Images
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor, /) -> Tensor:
        return self.images[self.rows[index]]

    def load(self) -> Tensor:
        """All images in memory: uint8 (N, C, H, W), channels last, which is fast for convolutions."""
        shape = self[torch.tensor([0])].shape[1:]
        images = torch.empty((len(self), *shape), dtype=torch.uint8, memory_format=torch.channels_last)
        for part in torch.split(torch.arange(len(self)), 1024):
            images[part[0] : part[-1] + 1] = self[part]
        return images


def require_variety(images: Images) -> None:
    """Refuse training images that are all the same; stops at the first difference."""
    first, parts = images[torch.tensor([0])], torch.split(torch.arange(len(images)), 16)
    if len(images) > 1 and all(bool((images[part] == first).all()) for part in parts):
        side = first.shape[-1]
        raise UserError(
            f"all {len(images):,} training images are the same at {side} x {side} pixels, so a model cannot learn "
            "from them. Check the files of the data set and the options that decode them (--data.image_size, "
            "--data.fit)."
        )


class UndecodedImages:
    """Image files that are decoded at each access; loader workers share the tensor of their paths."""

    def __init__(self, files: Sequence[Path], decoding: Decoding) -> None:
        paths = [os.fsencode(file) for file in files]
        self.paths = torch.frombuffer(bytearray(b"".join(paths)), dtype=torch.uint8)
        self.ends = torch.tensor([len(path) for path in paths]).cumsum(0)
        self.decoding = decoding

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: Tensor, /) -> Tensor:
        images = np.stack([self._decode(self.file(position)) for position in index.tolist()])
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def file(self, position: int) -> Path:
        begin = int(self.ends[position - 1]) if position else 0
        return Path(os.fsdecode(self.paths[begin : int(self.ends[position])].numpy().tobytes()))

    def _decode(self, file: Path) -> NDArray[np.uint8]:
        try:
            return self.decoding.decode(BytesIO(read_file(file)))
        except OSError as error:
            raise UserError(
                f"{str(file)!r} cannot be read: {error.strerror or error_text(error)}. Repair or remove it, or skip "
                "all such files with --data.cache auto --data.unreadable skip."
            ) from error


Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class LabelledImages:
    """One decoded split of N images."""

    images: Images  # uint8 (N, C, H, W), 0 to 255, as a tensor or an object indexed like one; or features (N, F)
    labels: Tensor  # int64 (N,), 0 to K - 1
    names: Sequence[str]  # the same in every run, such as paths relative to the data root
    digests: Tensor | None = None  # int64 (N,), of the images, if they are known

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Sequence[int] | Tensor) -> "LabelledImages":
        """The images at ``indices``, in that order; those in memory are copied."""
        index = torch.as_tensor(indices)
        images = self.images[index] if isinstance(self.images, Tensor) else SelectedImages(self.images, index)
        digests = None if self.digests is None else self.digests[index]
        return LabelledImages(images, self.labels[index], [self.names[i] for i in index.tolist()], digests)


class SeededIndices(list[int]):
    """Indices of a training batch, with the seed of its augmentation."""

    def __init__(self, indices: Iterable[int], seed: int) -> None:
        super().__init__(indices)
        self.seed = seed


Augmentation = Callable[[Tensor], Tensor]


class BatchDataset(Dataset[Batch]):
    """Serves a split, or ``features`` if they are set, to a ``DataLoader``, one batch of indices at a time."""

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
