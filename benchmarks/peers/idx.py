"""MNIST's files as arrays, the way ``keras.datasets`` would hand them over, without its download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.uint8]


def read_idx(file: Path) -> Array:
    """The array of an IDX file of bytes: four bytes of type and rank, four big-endian ones a dimension, the values."""
    content = file.read_bytes()
    rank = content[3]
    shape = np.frombuffer(content, ">u4", rank, offset=4).tolist()
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load_data(folder: Path, limit: int | None = None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Training and test images (N, 28, 28) with labels (N,); the first ``limit`` of each."""

    def part(name: str) -> tuple[Array, Array]:
        images = read_idx(folder / "raw" / f"{name}-images-idx3-ubyte")
        labels = read_idx(folder / "raw" / f"{name}-labels-idx1-ubyte")
        return images[:limit], labels[:limit]

    return part("train"), part("t10k")
