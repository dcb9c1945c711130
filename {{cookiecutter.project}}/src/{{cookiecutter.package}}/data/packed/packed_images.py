"""Images in chunks: a batch is read from the chunks that hold its images and, unless stored decoded, decoded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from struct import Struct
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from ...errors import UserError
from ..decoding import Decoding, error_text
from .chunk_cache import ChunkCache
from .description import Chunk

OFFSET_BYTES = 4  # litdata: number of items, N + 1 offsets, then the items; all numbers uint32
OFFSETS, SIZE = Struct("<II"), Struct("<I")
ITEM_HEADER_BYTES = 8  # sizes of the image and of its label, which follow


class PackedImages:
    """N images of a split, in the order of its chunks.

    Args:
        chunks: of the split.
        cache: provides the files of the chunks.
        decoding: size, channels and fit of decoded images.
        is_decoded: whether images are stored decoded.
        read_ahead: whether batches are read in order, as in evaluation, so that the next chunk can be downloaded.
    """

    def __init__(
        self, chunks: Sequence[Chunk], cache: ChunkCache, decoding: Decoding, *, is_decoded: bool, read_ahead: bool
    ) -> None:
        self.chunks = chunks
        self.cache = cache
        self.decoding = decoding
        self.is_decoded = is_decoded
        self.read_ahead = read_ahead
        self.ends = np.cumsum([chunk.num_images for chunk in chunks])
        self._threads: tuple[int, ThreadPoolExecutor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_threads": None}

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: Tensor, /) -> Tensor:
        positions = index.numpy()
        images = np.empty((len(positions), *self.decoding.shape), dtype=np.uint8)
        numbers = np.searchsorted(self.ends, positions, side="right")
        needed = np.unique(numbers).tolist()
        if self.read_ahead:
            self.prefetch([*needed, needed[-1] + 1] if needed else [])
        files: list[bytes] = [b""] * len(positions)
        for number in needed:
            rows = np.flatnonzero(numbers == number)
            within = positions[rows] - (self.ends[number] - self.chunks[number].num_images)
            self._read(number, rows.tolist(), within.tolist(), images, files)
        if not self.is_decoded:
            self._decode(files, images)
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def prefetch(self, numbers: Sequence[int]) -> None:
        """Start downloading chunks; numbers beyond the last one are ignored."""
        self.cache.prefetch([self.chunks[number] for number in numbers if number < len(self.chunks)])

    def _read(
        self, number: int, rows: list[int], within: list[int], images: NDArray[np.uint8], files: list[bytes]
    ) -> None:
        """Read images of one chunk: decoded ones into their rows of the batch, others as bytes."""
        with self.cache.open(self.chunks[number]) as stream:
            for row, item in zip(rows, within, strict=True):
                stream.seek(OFFSET_BYTES * (1 + item))
                begin, end = OFFSETS.unpack(stream.read(OFFSETS.size))
                if self.is_decoded:
                    stream.seek(begin + ITEM_HEADER_BYTES)
                    stream.readinto(images[row].reshape(-1))  # without another copy
                else:
                    stream.seek(begin)
                    content = stream.read(end - begin)
                    (num_bytes,) = SIZE.unpack_from(content)
                    files[row] = content[ITEM_HEADER_BYTES : ITEM_HEADER_BYTES + num_bytes]

    def _decode(self, files: Sequence[bytes], images: NDArray[np.uint8]) -> None:
        """Decode on all cores; in a loader's worker on one core, as the other workers use the others."""

        def decode(row: int) -> None:
            try:
                images[row] = self.decoding.decode(BytesIO(files[row]))
            except OSError as error:
                raise UserError(f"a packed image cannot be decoded: {error_text(error)}. Pack again.") from error

        if get_worker_info() is None and len(files) > 1:
            list(self.threads.map(decode, range(len(files))))
        else:
            for row in range(len(files)):
                decode(row)

    @property
    def threads(self) -> ThreadPoolExecutor:
        if self._threads is None or self._threads[0] != os.getpid():
            self._threads = os.getpid(), ThreadPoolExecutor(os.cpu_count(), "decoding")
        return self._threads[1]
