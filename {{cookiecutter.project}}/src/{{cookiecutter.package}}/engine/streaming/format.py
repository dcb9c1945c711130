"""The files of a packed data set: chunks in litdata's format, tables of each split, and a description."""

import hashlib
import io
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import UserError
from ...facts import Fit, ImageFacts
from ...predictor import Decoding
from ..preprocessing import class_weights, for_channels
from ..reading import Count, checked
from ..splits import SPLITS, Split
from .stores import Chunk, MissingError, Store, StoreError

log = logging.getLogger(__name__)

DATASET = "dataset.json"
TABLES = {"index.json", "names.txt", "labels.npy"}  # of each split
DIGEST_TABLE = "digests.npy"  # table of a split; packings of older versions have none
FORMAT = 1
FIRST_CONTACT_SECONDS = 10.0  # for the first request of a training, so that a wrong address is reported soon


@dataclass(frozen=True)
class PackedSplit:
    """Size and digests of a split."""

    num_images: Count
    num_chunks: Count
    counts: list[Count]  # of the images of each class
    sha256: dict[str, str]  # of index.json, names.txt, labels.npy and digests.npy


@dataclass(frozen=True)
class Description:
    """Content of ``dataset.json``, which is written last. Facts without a comment are as in ``ImageFacts``."""

    class_names: list[str]
    num_channels: int
    mean: list[float]
    std: list[float]
    fit: Fit
    image_size: int | None  # side of decoded images, or shorter side of smaller JPEGs; None for unchanged files
    stored: Literal["files", "jpeg", "decoded"]  # files, jpeg or decoded
    split_hash: str  # the same as that of an image folder with the same splits
    splits: dict[Split, PackedSplit]
    plan: str  # digest of the images, splits and settings that were packed
    unreadable: dict[str, str] = field(default_factory=dict)  # files left out, each with the reason
    format: int = FORMAT

    def require_consistent(self) -> None:
        """Raise a ValueError if the fields do not belong together."""
        side = self.image_size
        ImageFacts(self.class_names, self.num_channels, 1 if side is None else side, self.mean, self.std, self.fit)
        if self.splits.keys() != set(SPLITS):
            raise ValueError(f"its splits are {', '.join(self.splits)}, expected {', '.join(SPLITS)}")
        for split, packed in self.splits.items():
            if len(packed.counts) != len(self.class_names) or sum(packed.counts) != packed.num_images:
                raise ValueError(f"the counts of {split} do not add up")
            if missing := TABLES - packed.sha256.keys():
                raise ValueError(f"{split} has no digest of {min(missing)}")

    def decoding(self, image_size: int | None, num_channels: int | None, fit: Fit | None) -> Decoding:
        """Settings of decoding for the options of a training; None takes what was packed."""
        for name, value in {"image_size": image_size, "num_channels": num_channels, "fit": fit}.items():
            if self.stored == "decoded" and value not in {None, packed := getattr(self, name)}:
                raise UserError(
                    f"data.{name} is {value}, and data.root was packed decoded with {packed}. Leave it out, or pack "
                    "again without --decoded."
                )
        if self.stored == "jpeg" and (image_size or 0) > (self.image_size or 0):
            sizes = image_size, self.image_size
            log.warning("data.image_size is %d, and images packed at %d pixels are enlarged", *sizes)
        return Decoding(image_size or self.image_size or 224, num_channels or self.num_channels, fit or self.fit)

    def facts(self, decoding: Decoding, *, is_weighted: bool) -> ImageFacts:
        """The facts of images decoded in that way; ``is_weighted`` weights classes inversely to their size."""
        size, num_channels, fit = decoding.image_size, decoding.num_channels, decoding.fit
        mean, std = for_channels(self.mean, num_channels), for_channels(self.std, num_channels)
        weights = class_weights(torch.tensor(self.splits["train"].counts)).tolist() if is_weighted else None
        return ImageFacts(self.class_names, num_channels, size, mean, std, fit, weights)


def read_description(store: Store) -> Description:
    """Read ``dataset.json``; raises a UserError that says why there is none or why it cannot be read."""
    try:
        fields = json.loads(store.read(DATASET, FIRST_CONTACT_SECONDS))
        if isinstance(fields, dict) and (found := fields.get("format", FORMAT)) != FORMAT:
            raise ValueError(f"it is of format {found}, and this version reads {FORMAT}")
        description: Description = checked(fields, Description, "it", "Pack again")
        description.require_consistent()
        return description
    except MissingError as error:
        try:
            reason = f"it has no {DATASET}. Pack a folder of images with pack ROOT OUT, and let it finish."
            if store.is_empty():
                reason = "it is empty or does not exist."
        except NotADirectoryError:
            reason = "it is a file."
        except StoreError as missing:
            reason = str(missing)
        raise UserError(f"data.root is {store.url!r}, which is not a packed data set: {reason}") from error
    except (ValueError, RecursionError, UserError) as error:
        reason = str(error).rstrip(".").removesuffix(". Pack again")
        raise UserError(f"data.root is {store.url!r}, whose {DATASET} cannot be read: {reason}. Pack again.") from error


def index_of(chunks: Sequence[Chunk], config: dict[str, Any], split: Split) -> bytes:
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


def chunks_of(index: bytes, split: Split) -> list[Chunk]:
    return [
        Chunk(f"{split}/{row['filename']}", row["chunk_size"], row["chunk_bytes"], row["sha256"])
        for row in json.loads(index)["chunks"]
    ]


def integers_of(table: bytes) -> NDArray[np.int64]:
    """The integers of a ``.npy`` file, as int64."""
    array: NDArray[np.int64] = np.load(io.BytesIO(table), allow_pickle=False).astype(np.int64)
    return array


class Names(Sequence[str]):
    """N names in one byte string, which takes a tenth of the memory; ``load`` returns UTF-8, a null byte after each."""

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

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position = range(len(self))[index]  # raises IndexError, and counts negative ones from the end
        begin = self.ends[position - 1] + 1 if position else 0
        return self.text[begin : self.ends[position]].decode("utf-8", "surrogateescape")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
