"""The files that describe a packed data set: ``dataset.json``, and tables of each split's chunks, names and labels."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..facts import Fit
from ..splits import Split

FILE_NAME = "dataset.json"
DIGESTS = "digests.npy"  # table of a split; packings of older versions have none
FORMAT = 1


@dataclass(frozen=True)
class Chunk:
    """A file of many images, in litdata's format.

    Attributes:
        name: of the file in the store.
        num_images: number of images.
        num_bytes: size of the file.
        sha256: of the content.
    """

    name: str
    num_images: int
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class PackedSplit:
    """Size and digests of a split.

    Attributes:
        num_images: number of images.
        num_chunks: number of chunks.
        counts: number of images of each class.
        sha256: of the files ``index.json``, ``names.txt``, ``labels.npy`` and ``digests.npy``.
    """

    num_images: int
    num_chunks: int
    counts: list[int]
    sha256: dict[str, str]


@dataclass(frozen=True)
class Description:
    """Facts of a packed data set, written last.

    Attributes:
        class_names: K names; the position is the label.
        num_channels: 1 (grey) or 3 (RGB).
        mean: one value a channel, of pixels scaled to [0, 1].
        std: as ``mean``.
        fit: how images are or will be made square: see ``ImageFacts.fit``.
        image_size: side of decoded images, or shorter side of re-encoded ones, in pixels; None for unchanged files.
        stored: how images are stored.
        split_hash: the same as that of an image folder with the same splits.
        splits: size and digests of each split.
        plan: digest of the images, splits and settings that were packed.
        unreadable: files left out, each with the reason.
        format: version of this file's format.
    """

    class_names: list[str]
    num_channels: int
    mean: list[float]
    std: list[float]
    fit: Fit
    image_size: int | None
    stored: str
    split_hash: str
    splits: dict[Split, PackedSplit]
    plan: str
    unreadable: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Description:
        """Parse the file; raises ValueError, TypeError or KeyError if it is not valid."""
        fields: dict[str, Any] = json.loads(content)
        if fields["format"] != FORMAT:
            raise ValueError(f"it is of format {fields['format']}, and this version reads {FORMAT}")
        fields["splits"] = {split: PackedSplit(**packed) for split, packed in fields["splits"].items()}
        return cls(**fields)


def to_index(chunks: Sequence[Chunk], config: dict[str, Any], split: Split) -> bytes:
    """Litdata's ``index.json``, with the digest of each chunk added."""
    rows = [
        {
            "chunk_bytes": chunk.num_bytes,
            "chunk_size": chunk.num_images,
            "dim": None,
            "filename": chunk.name.removeprefix(f"{split}/"),
            "sha256": chunk.sha256,
        }
        for chunk in chunks
    ]
    return json.dumps({"chunks": rows, "config": config}).encode()


def from_index(content: bytes, split: Split) -> list[Chunk]:
    return [
        Chunk(f"{split}/{row['filename']}", row["chunk_size"], row["chunk_bytes"], row["sha256"])
        for row in json.loads(content)["chunks"]
    ]


def array_to_bytes(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def array_from_bytes(content: bytes) -> NDArray[np.int64]:
    """Whole numbers, as int64."""
    array: NDArray[np.int64] = np.load(io.BytesIO(content), allow_pickle=False).astype(np.int64)
    return array


class Names(Sequence[str]):
    """N names, loaded at their first use and kept as one byte string, which takes a tenth of the memory of N strings.

    Args:
        load: returns the bytes: UTF-8 (other bytes are kept unchanged), with a null byte after each name.
    """

    def __init__(self, load: Callable[[], bytes]) -> None:
        self.load = load

    def __getstate__(self) -> dict[str, Any]:
        return {"load": self.load}

    @cached_property
    def text(self) -> bytes:
        return self.load()

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        return np.flatnonzero(np.frombuffer(self.text, dtype=np.uint8) == 0)

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position = range(len(self))[index]  # raises IndexError, and counts negative ones from the end
        begin = self.ends[position - 1] + 1 if position else 0
        return self.text[begin : self.ends[position]].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[position] for position in range(len(self)))


def names_to_bytes(names: Sequence[str]) -> bytes:
    return b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in names)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
