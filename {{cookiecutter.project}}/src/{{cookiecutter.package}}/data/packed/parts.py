"""The plan of a packing, made before images are read: which files go into which chunk; and records of chunks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..image_folder import ImageFolderDataModule
from ..splits import SPLITS, Split
from .description import Chunk, sha256
from .encoding import Encoding

SHUFFLE_SEED = 0


@dataclass(frozen=True)
class PackSettings:
    """How a folder is packed.

    Attributes:
        encoding: how images are stored.
        chunk_megabytes: approximate size of a chunk.
        workers: number of threads; reading, decoding and hashing release Python's global lock.
        unreadable: ``error`` lists the files that cannot be decoded and stops; ``skip`` leaves them out.
        overwrite: whether another packed data set may be replaced.
    """

    encoding: Encoding
    chunk_megabytes: float = 64.0
    workers: int | None = None
    unreadable: Literal["error", "skip"] = "error"
    overwrite: bool = False


@dataclass(frozen=True)
class Part:
    """Files that are packed into one chunk.

    Attributes:
        split: of the files.
        number: of the chunk within its split.
        files: paths and labels.
        names: of the files, relative to the root.
    """

    split: Split
    number: int
    files: list[tuple[Path, int]]
    names: list[str]

    @property
    def chunk_name(self) -> str:
        return f"{self.split}/chunk-0-{self.number}.bin"

    @property
    def record_name(self) -> str:
        return f"{self.split}/parts/{self.number}.json"

    def key(self, encoding: Encoding) -> str:
        """Digest of settings, names, labels, file sizes and times: it changes when a file does."""
        stats = [file.stat() for file, _ in self.files if file.exists()]
        identity = [asdict(encoding), self.names, [label for _, label in self.files]]
        return sha256(json.dumps([identity, [(stat.st_size, stat.st_mtime_ns) for stat in stats]]).encode())


@dataclass(frozen=True)
class Record:
    """Record of a packed part, stored with its chunk.

    Attributes:
        key: of the part.
        chunk: the chunk; None if none of its images can be read.
        names: of the images in the chunk.
        labels: of the images in the chunk.
        unreadable: files left out, each with the reason.
        config: of litdata's writer.
        digests: of the content of the files that the images were.
    """

    key: str
    chunk: Chunk | None
    names: list[str]
    labels: list[int]
    unreadable: dict[str, str]
    config: dict[str, Any]
    digests: list[str]

    @classmethod
    def from_json(cls, content: bytes) -> Record:
        """Raises ValueError, TypeError or KeyError where it is none, or of an older version."""
        fields = json.loads(content)
        return cls(**fields | {"chunk": Chunk(**fields["chunk"]) if fields["chunk"] else None})


def plan_parts(folder: ImageFolderDataModule, settings: PackSettings) -> list[Part]:
    """Plan chunks of about equal size; training images are in random order, so that each chunk has all classes."""
    parts = []
    for split in SPLITS:
        files = folder.split_files[split]
        if split == "train":
            order = np.random.default_rng(SHUFFLE_SEED).permutation(len(files))
            files = [files[position] for position in order]
        step = images_a_chunk([file for file, _ in files], settings)
        for number, start in enumerate(range(0, len(files), step)):
            of_part = files[start : start + step]
            names = [file.relative_to(folder.root).as_posix() for file, _ in of_part]
            parts.append(Part(split, number, of_part, names))
    return parts


def images_a_chunk(files: Sequence[Path], settings: PackSettings) -> int:
    wanted = settings.chunk_megabytes * 1e6
    num_bytes = settings.encoding.num_bytes
    if num_bytes is None:
        num_bytes = max(1, sum(file.stat().st_size for file in files if file.exists()) // len(files))
    return max(1, int(wanted / num_bytes))


def identity(parts: Sequence[Part], folder: ImageFolderDataModule, settings: PackSettings) -> str:
    """Digest of everything that is packed: names, labels, splits, classes, encoding, chunks."""
    rows = [[part.split, part.names, [label for _, label in part.files]] for part in parts]
    return sha256(json.dumps([asdict(settings.encoding), folder.index.class_names, rows]).encode())
