"""The order of a training epoch: random among a few chunks at a time, each image once over all processes."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler

from ...errors import UserError
from ..batches import TrainingBatches, mixed_seed
from ..images import Batch, BatchDataset, SeededIndices
from .chunks import PackedImages


class ChunkOrder(DistributedSampler[Batch]):
    """Shuffles chunks, gives each process a contiguous share, and shuffles the images of a few chunks at a time.

    Shares differ by one image at most, and may end within a chunk: each image is shown once an epoch, for any number of
    images and processes. A process downloads only its own share. ``sizes`` are the numbers of images of the chunks.
    """

    def __init__(self, sizes: Sequence[int], shuffle_chunks: int, num_replicas: int, rank: int, seed: int) -> None:
        total = sum(sizes)
        super().__init__(range(total), num_replicas, rank, seed=seed)  # type: ignore[arg-type]
        if total < num_replicas:
            raise UserError(
                f"train has {total} images, and {num_replicas} processes share them: each needs one at least. "
                "Use fewer processes (--trainer.devices)."
            )
        self.sizes = np.asarray(sizes)
        self.shuffle_chunks = shuffle_chunks
        # The share: positions in the order of the shuffled chunks.
        self.begin, self.end = (total * number // num_replicas for number in (rank, rank + 1))

    def __len__(self) -> int:
        return self.end - self.begin

    def __iter__(self) -> Iterator[Any]:
        return (int(position) for _, positions in self.windows() for position in positions)

    def windows(self) -> Iterator[tuple[list[int], NDArray[np.int64]]]:
        """Numbers of the chunks that are shuffled together, and the positions of their images, in the epoch's order."""
        shuffled = np.random.default_rng(mixed_seed(self.seed, self.epoch)).permutation(len(self.sizes))
        starts = np.cumsum(self.sizes) - self.sizes  # of each chunk in the data set
        ends = np.cumsum(self.sizes[shuffled])  # in the shuffled order
        first, last = np.searchsorted(ends, [self.begin, self.end - 1], side="right").tolist()
        for window in range(first, last + 1, self.shuffle_chunks):
            numbers = range(window, min(window + self.shuffle_chunks, last + 1))
            parts = []
            for number in numbers:
                chunk, begin = shuffled[number], ends[number] - self.sizes[shuffled[number]]
                in_share = np.arange(max(self.begin, begin), min(self.end, ends[number]))
                parts.append(starts[chunk] + in_share - begin)
            generator = np.random.default_rng(mixed_seed(self.seed, self.epoch, self.rank, window))
            yield shuffled[list(numbers)].tolist(), generator.permutation(np.concatenate(parts))


class StreamedIndices(SeededIndices):
    """Indices of a training batch, and the numbers of the chunks that it and the next batches need."""

    upcoming: list[int]


class ChunkedBatches(TrainingBatches):
    """The batches of an epoch: as many in each process, with sizes that differ by one, and no image is left over."""

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
        for number, (positions, upcoming) in enumerate(self._cut()):
            if number >= start:
                seed = mixed_seed(self.order.seed, self.order.epoch, number, self.order.rank)
                indices = StreamedIndices(positions.tolist(), seed)
                indices.upcoming = upcoming
                yield indices

    def _cut(self) -> Iterator[tuple[NDArray[np.int64], list[int]]]:
        """The order, cut into batches, each with the numbers of the chunks of its window and of the next."""
        small, num_larger = divmod(len(self.order), self.num_batches)
        windows = self.order.windows()
        chunks, positions = next(windows)
        before: list[int] = []
        left = number = 0  # images of the window before that are not in a batch yet, and batches so far
        while True:
            next_chunks, next_positions = next(windows, ([], None))
            begin = 0
            while number < self.num_batches and begin + (size := small + (number < num_larger)) <= len(positions):
                # While a batch still needs the previous window, the next one must not replace it in the cache.
                yield positions[begin : begin + size], before + chunks if begin < left else chunks + next_chunks
                begin, number = begin + size, number + 1
            if next_positions is None:
                return
            left, before, chunks = len(positions) - begin, chunks, next_chunks
            positions = np.concatenate([positions[begin:], next_positions])


class StreamedDataset(BatchDataset):
    """Serves a packed training split, and starts the download of the chunks of later batches."""

    def __getitems__(self, indices: list[int]) -> Batch:
        if isinstance(indices, StreamedIndices) and isinstance(self.split.images, PackedImages):
            self.split.images.prefetch(indices.upcoming)
        return super().__getitems__(indices)
