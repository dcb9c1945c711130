"""Sources of decoded images in memory, on disk or in files; each is indexed by a batch of positions, like a tensor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from ..errors import UserError
from .decoding import Decoding, bar_options


class Images(Protocol):
    """N images that can be indexed by a tensor of positions, for example a tensor (N, C, H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor, /) -> Tensor:
        """Gather uint8 (B, C, H, W) at the positions ``index`` (B,)."""
        ...


class MappedImages:
    """Rows of a memory-mapped file. It is mapped again for each batch, so that only one batch stays in memory.

    Args:
        file: consecutive uint8 images (H, W, C).
        decoding: settings of decoding, which define the shape.
        rows: (N,) the row of each image in the file.
    """

    def __init__(self, file: Path, decoding: Decoding, rows: NDArray[np.int64]) -> None:
        self.file = file
        self.decoding = decoding
        self.rows = torch.from_numpy(rows)  # loader workers share a tensor's memory

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor, /) -> Tensor:
        num_rows = self.file.stat().st_size // self.decoding.num_bytes
        mapped = np.memmap(self.file, mode="r", shape=(num_rows, *self.decoding.shape))
        return torch.from_numpy(np.asarray(mapped[self.rows[index].numpy()])).permute(0, 3, 1, 2)

    def load(self) -> Tensor:
        """Load all images into memory: uint8 (N, C, H, W) in channels-last memory format."""
        images = torch.empty(len(self), *self.decoding.shape, dtype=torch.uint8)
        for chunk in torch.split(torch.arange(len(self)), 1024):
            images[chunk] = self[chunk].permute(0, 2, 3, 1)
        return images.permute(0, 3, 1, 2)


class UndecodedImages:
    """Image files that are decoded each time they are read.

    The paths are stored in one tensor of bytes, which loader workers share; each worker would copy a list.

    Args:
        files: N image files.
        decoding: settings of decoding.
    """

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
            return self.decoding.decode(file)
        except OSError as error:
            raise UserError(
                f"{str(file)!r} cannot be read: {error}. Repair or remove it, or skip all such files with "
                "--data.cache auto --data.unreadable skip."
            ) from error


def decode_into_memory(files: Sequence[Path], decoding: Decoding, description: str) -> tuple[Tensor, dict[Path, str]]:
    """Decode on all cores, with a progress bar.

    Returns:
        uint8 (N, C, H, W) of the N readable files, and the reason for each unreadable file.
    """
    images = torch.empty(len(files), *decoding.shape, dtype=torch.uint8)
    failures: dict[Path, str] = {}

    def decode(position: int) -> None:
        try:
            images[position] = torch.from_numpy(decoding.decode(files[position]).copy())
        except OSError as error:
            failures[files[position]] = str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(track(pool.map(decode, range(len(files))), description, total=len(files), **bar_options()))
    if failures:
        images = images[[position for position, file in enumerate(files) if file not in failures]]
    return images.permute(0, 3, 1, 2), failures
