"""The order of a training epoch: random among a few chunks at a time, each image once over all processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler

from ...errors import UserError
from ..labelled_images import Batch, BatchDataset, SeededIndices
from ..loading import TrainingBatches, mixed_seed
from .packed_images import PackedImages


class ChunkOrder(DistributedSampler[Batch]):
    """Shuffles chunks, gives each process a contiguous share, and shuffles the images of a few chunks at a time.

    Shares differ by one image at most, and may end within a chunk: each image is shown once an epoch, for any number of
    images and processes. A process downloads only its own share.

    Args:
        sizes: number of images of each chunk.
        shuffle_chunks: number of chunks whose images are shuffled together.
        num_replicas: number of processes.
        rank: of this process.
        seed: the same for all processes.

    Raises:
        UserError: there are fewer images than processes.
    """

    def __init__(self, sizes: Sequence[int], shuffle_chunks: int, num_replicas: int, rank: int, seed: int) -> None:
        super().__init__(range(sum(sizes)), num_replicas, rank, seed=seed)  # type: ignore[arg-type]
        if sum(sizes) < num_replicas:
            raise UserError(
                f"train has {sum(sizes)} images, and {num_replicas} processes share them: each needs one at least. "
                "Use fewer processes (--trainer.devices)."
            )
        self.sizes = np.asarray(sizes)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.shuffle_chunks = shuffle_chunks

    @property
    def span(self) -> tuple[int, int]:
        """The range of images of this process in the order of shuffled chunks: the first, and the first of the next."""
        total = int(self.sizes.sum())
        return total * self.rank // self.num_replicas, total * (self.rank + 1) // self.num_replicas

    def __len__(self) -> int:
        begin, end = self.span
        return end - begin

    def __iter__(self) -> Iterator[Any]:
        return (int(position) for _, positions in self.windows() for position in positions)

    def windows(self) -> Iterator[tuple[list[int], NDArray[np.int64]]]:
        """Numbers of the chunks that are shuffled together, and the positions of their images, in the epoch's order."""
        shuffled = np.random.default_rng(mixed_seed(self.seed, self.epoch)).permutation(len(self.sizes))
        ends = np.cumsum(self.sizes[shuffled])
        begin, end = self.span
        first, last = np.searchsorted(ends, [begin, end - 1], side="right").tolist()
        for window in range(first, last + 1, self.shuffle_chunks):
            numbers = range(window, min(window + self.shuffle_chunks, last + 1))
            parts = []
            for number in numbers:
                chunk, offset = shuffled[number], ends[number] - self.sizes[shuffled[number]]
                here = np.arange(max(begin, offset), min(end, ends[number])) - offset
                parts.append(self.starts[chunk] + here)
            generator = np.random.default_rng(mixed_seed(self.seed, self.epoch, self.rank, window))
            yield shuffled[list(numbers)].tolist(), generator.permutation(np.concatenate(parts))


class StreamedIndices(SeededIndices):
    """Indices of a training batch.

    Attributes:
        upcoming: numbers of the chunks that this batch and the next batches need.
    """

    upcoming: list[int]


class ChunkedBatches(TrainingBatches):
    """The batches of an epoch. All processes have the same number; sizes differ by one, so that no image is left over.

    Args:
        order: of the images.
        batch_size: at most.
    """

    order: ChunkOrder

    def __init__(self, order: ChunkOrder, batch_size: int) -> None:
        super().__init__(order, batch_size, drop_last=False)
        total = int(order.sizes.sum())
        largest, smallest = math.ceil(total / order.num_replicas), total // order.num_replicas
        self.num_batches = min(math.ceil(largest / batch_size), smallest)  # no batch is empty

    @property
    def smallest(self) -> int:
        return len(self.order) // self.num_batches

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        start, self.start = self.start, 0
        for number, (positions, upcoming) in enumerate(self._parts()):
            if number >= start:
                seed = mixed_seed(self.order.seed, self.order.epoch, number, self.order.rank)
                indices = StreamedIndices(positions.tolist(), seed)
                indices.upcoming = upcoming
                yield indices

    def _parts(self) -> Iterator[tuple[NDArray[np.int64], list[int]]]:
        """The order, cut into batches, each with the numbers of the chunks of its window and of the next."""
        small, num_larger = divmod(len(self.order), self.num_batches)
        waiting = np.empty(0, dtype=np.int64)
        windows, number, next_window = self.order.windows(), 0, None
        window = next(windows, None)
        before: list[int] = []
        while window is not None:
            next_window = next(windows, None)
            left = len(waiting)
            waiting = np.concatenate([waiting, window[1]])
            upcoming = window[0] + (next_window[0] if next_window else [])
            begin = 0
            while number < self.num_batches and begin + (size := small + (number < num_larger)) <= len(waiting):
                # While a batch still needs the previous window, the next one must not replace it in the cache.
                yield waiting[begin : begin + size], before + window[0] if begin < left else upcoming
                begin, number = begin + size, number + 1
            waiting, before, window = waiting[begin:], window[0], next_window


class StreamedDataset(BatchDataset):
    """Serves a packed training split, and starts the download of the chunks of later batches."""

    def __getitems__(self, indices: list[int]) -> Batch:
        if isinstance(indices, StreamedIndices) and isinstance(self.split.images, PackedImages):
            self.split.images.prefetch(indices.upcoming)
        return super().__getitems__(indices)
