"""Computes digests that identify images by content, regardless of file name and folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .image_stores import Images

CHUNK = 1024  # images in memory at once


def digest_of(content: bytes) -> str:
    """16-byte BLAKE2b digest, as 32 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def stat_of(file: Path) -> tuple[int, int]:
    """Size in bytes and modification time in nanoseconds."""
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


def short_digests(digests: Iterable[str]) -> Tensor:
    """The first eight bytes of each digest, int64 (N,), to store in checkpoints.

    The probability that any two of a million different images have the same short digest is 3e-8.
    """
    content = b"".join(bytes.fromhex(digest[:16]) for digest in digests)
    return torch.from_numpy(np.frombuffer(content, dtype="<i8").astype(np.int64))


def pixel_digests(images: Images) -> Tensor:
    """Digests of decoded images, for data sets without files: int64 (N,)."""
    found = []
    for index in torch.split(torch.arange(len(images)), CHUNK):
        found += [digest_of(pixels.tobytes()) for pixels in images[index].contiguous().numpy()]
    return short_digests(found)


def content_hash(splits: Mapping[str, tuple[Tensor, Tensor]]) -> str:
    """SHA-256 of the images and labels of all splits; results are comparable if their hashes are equal.

    Args:
        splits: for each split, the digests and the labels of its images, both int64 (N,).
    """
    found = hashlib.sha256()
    for split in sorted(splits):
        digests, labels = (column.numpy().astype("<i8") for column in splits[split])
        order = np.lexsort((labels, digests))
        found.update(f"{split} {len(digests)}\n".encode())
        found.update(np.stack([digests[order], labels[order]]).tobytes())
    return found.hexdigest()
