"""Decodes files, or items of a dataset, once: into memory, or into a cache on disk that all runs share."""

import json
import logging
import os
import random
import shutil
import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from operator import index as as_integer
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import UserError, some
from ..files import is_writable, megabytes, nearest_folder, write_text, writing
from ..predictor import Decoding, decode, error_text, on_all_cores, read_file, to_image
from .images import Batch, LabelledImages, MappedImages, SelectedImages, keep_batch
from .progress import bar_options
from .splits import digest_of, pixel_digests

log = logging.getLogger(__name__)


def decode_into_memory(files: Sequence[Path], decoding: Decoding, description: str) -> tuple[Tensor, dict[Path, str]]:
    """Decode on all cores: uint8 (N, C, H, W) of the N readable files, and the reason for each unreadable file."""
    images = np.empty((len(files), *decoding.shape), dtype=np.uint8)  # torch would copy with threads, which decode here
    failures: dict[Path, str] = {}
    position = 0
    results = on_all_cores(partial(decode, decoding=decoding), files)
    for file, image in track(results, description, len(files), **bar_options()):
        if isinstance(image, str):
            failures[file] = image
        else:
            images[position] = image
            position += 1
    return torch.from_numpy(images[:position]).permute(0, 3, 1, 2), failures


def refuse_or_skip(failures: Mapping[Path, str], images: str, *, skip: bool) -> None:
    """List the unreadable files of these ``images``, in a warning with ``skip``, else in a UserError."""
    shown = some([f"{path}: {why}" for path, why in failures.items()])
    message = f"{len(failures)} of {images} cannot be read: {shown}."
    if not skip:
        raise UserError(f"{message} Repair or remove them, or skip them with --data.unreadable skip.")
    log.warning("%s They are skipped.", message)


def read_table(file: Path) -> dict[str, Any]:
    """Read what ``write_table`` has written; empty if there is no file. Raises a ValueError if it was changed since."""
    if not file.exists():
        return {}
    digest, _, text = read_file(file).decode("utf-8", "replace").partition("\n")
    if digest_of(text.encode()) != digest:
        raise ValueError("its index has changed")
    return dict(json.loads(text))


def write_table(file: Path, table: Mapping[str, Any]) -> None:
    """Write JSON after its own digest."""
    text = json.dumps(table)
    write_text(file, f"{digest_of(text.encode())}\n{text}")


DIGESTS = "digests.json"
NUM_CHECKED = 32  # random cached files that are read again at each start
Known = Sequence[Any]  # size in bytes, modification time in nanoseconds, and digest of a file when it was read


@dataclass(frozen=True)
class FileDigests:
    """Digests by file, cached in ``folder/digests.json``; without a folder, nothing is cached.

    The cache identifies a file by path, size and modification time. The content can change while these stay the same,
    for example by ``cp -p``. Therefore a random sample of files is read again each time, and if one of them has
    changed, all files are read again.
    """

    folder: Path | None

    def of(self, files: Sequence[Path]) -> dict[Path, str]:
        """Digest of the content of each file; for files that cannot be read, digest of the path."""
        if self.folder is None:
            return {file: digest for file, (*_, digest) in read_all(files).items()}
        with writing("data.cache_dir", self.folder), self._locked(self.folder):
            table, known = self._read_table(self.folder, files)
            checked = read_all(random.sample(list(known), min(NUM_CHECKED, len(known))))
            changed = [file for file, (*_, digest) in checked.items() if digest != known[file][2]]
            if changed:
                log.warning(
                    "the content of %s has changed, but not its size and modification time: reading all %s cached "
                    "files again",
                    changed[0],
                    f"{len(known):,}",
                )
                known = {}
            new = read_all([file for file in files if file not in known])
            if new:
                table |= {str(file.absolute()): row for file, row in new.items() if row[0] >= 0}
                write_table(self.folder / DIGESTS, table)
        return {file: digest for file, (*_, digest) in (known | new).items()}

    def stale(self, digests: dict[Path, str]) -> list[Path]:
        """Remove and return files that have changed although ``is_known``; ``digests`` are of the current contents."""
        if self.folder is None or not (self.folder / DIGESTS).is_file():
            return []
        can_write = is_writable(self.folder)
        with writing("--cache_dir", self.folder), self._locked(self.folder) if can_write else nullcontext():
            table, known = self._read_table(self.folder, list(digests))
            found = [file for file, (*_, digest) in known.items() if digest != digests[file]]
            for file in found:
                del table[str(file.absolute())]
            if found and can_write:
                write_table(self.folder / DIGESTS, table)
        return found

    def _locked(self, folder: Path) -> FileLock:
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{DIGESTS}.lock")

    def _read_table(self, folder: Path, files: Sequence[Path]) -> tuple[dict[str, Known], dict[Path, Known]]:
        """All rows by absolute path, and those of ``files`` whose size and modification time have not changed."""
        try:
            table: dict[str, Known] = read_table(folder / DIGESTS)
        except (OSError, ValueError):  # the cache is damaged: read all files again
            return {}, {}
        known = {}
        for file in files:
            with suppress(KeyError, OSError):
                row = table[str(file.absolute())]
                if row[:2] == stat_of(file):
                    known[file] = row
        return table, known


def stat_of(file: Path) -> list[int]:
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns]


def read_all(files: Sequence[Path]) -> dict[Path, Known]:
    return dict(track(on_all_cores(read, files), "reading files", len(files), **bar_options()))


def read(file: Path) -> Known:
    """Read a file and compute its digest; the size is -1 if it cannot be read."""
    try:
        return [*stat_of(file), digest_of(read_file(file))]
    except OSError:
        return [-1, 0, digest_of(f"unreadable {file.absolute()}".encode(errors="surrogateescape"))]


NUM_VERIFIED = 256  # rows whose checksum is compared when a cache is opened


class ImageCache:
    """A folder with ``images.bin`` (rows of uint8 (H, W, C)) and ``index.json`` (checksum by digest, in row order).

    Rows are appended first, then the index is replaced atomically, so that the cache stays valid if the process is
    killed. A file lock lets one process at a time write. An image is found by the digest of its file's content.
    """

    def __init__(self, folder: Path, decoding: Decoding) -> None:
        self.folder = folder / f"{decoding.fit}-{decoding.image_size}px-{decoding.num_channels}ch"
        self.decoding = decoding
        self.images = self.folder / "images.bin"
        self.index = self.folder / "index.json"

    def open(
        self, files: Sequence[Path], digests: Mapping[Path, str], description: str
    ) -> tuple[SelectedImages, dict[Path, str]]:
        """The images of the readable files, in order, and the reason for each unreadable file; decodes new files."""
        found = {file: digests[file] for file in files}
        with writing("data.cache_dir", self.folder.parent):
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "lock"):
                checksums = self._read_index()
                new = [file for file, digest in found.items() if digest not in checksums]
                failures = self._add(new, found, checksums, description) if new else {}
        row_of = {digest: row for row, digest in enumerate(checksums)}
        rows = torch.tensor([row_of[found[file]] for file in files if file not in failures], dtype=torch.long)
        return SelectedImages(MappedImages(self.images, self.decoding), rows), failures

    def _read_index(self) -> dict[str, int]:
        """Checksum by digest; empty, with a warning, if the index or one of the rows that are checked is damaged."""
        try:
            checksums = read_table(self.index)
            expected, num_bytes = list(checksums.values()), self.decoding.num_bytes
            for row in {round(step) for step in np.linspace(0, len(expected) - 1, NUM_VERIFIED)} if expected else ():
                with self.images.open("rb") as stream:
                    stream.seek(row * num_bytes)
                    if zlib.crc32(stream.read(num_bytes)) != expected[row]:
                        raise ValueError(f"row {row} has changed")
            return checksums
        except PermissionError:
            raise
        except (OSError, ValueError) as error:
            log.warning("the image cache in %s is damaged (%s): decoding all images again", self.folder, error)
            self.images.unlink(missing_ok=True)
            return {}

    def require_room(self, num_images: int) -> None:
        """Refuse to add more images than the disk has space for."""
        needed, free = num_images * self.decoding.num_bytes, shutil.disk_usage(nearest_folder(self.folder)).free
        if needed > free:
            raise UserError(
                f"data.cache_dir is {str(self.folder.parent)!r}, with {megabytes(free)} free, and {num_images} "
                f"decoded images need {megabytes(needed)}. Free disk space, give another --data.cache_dir, a smaller "
                "--data.image_size, or --data.cache none."
            )

    def _add(
        self, files: Sequence[Path], digests: dict[Path, str], checksums: dict[str, int], description: str
    ) -> dict[Path, str]:
        """Append images, after an interruption those decoded so far; updates ``digests`` and ``checksums``."""
        self.require_room(len(files))
        failures, num_bytes, is_full = {}, len(checksums) * self.decoding.num_bytes, False
        try:
            with self.images.open("ab") as stream:
                stream.truncate(num_bytes)  # rows that a killed process did not index
                try:
                    results = on_all_cores(self._decode, files)
                    for file, result in track(results, description, len(files), **bar_options()):
                        if isinstance(result, str):
                            failures[file] = result
                            continue
                        digests[file], image = result
                        if digests[file] not in checksums:  # else a copy, which shares the row
                            stream.write(image.tobytes())
                            checksums[digests[file]] = zlib.crc32(image.tobytes())
                except OSError:
                    is_full = True
                    raise
                finally:
                    if not is_full:
                        stream.flush()
                        os.fsync(stream.fileno())
                        write_table(self.index, checksums)
        except OSError:  # of a full disk, which gets its room back
            with suppress(OSError):
                os.truncate(self.images, num_bytes)
            raise
        return failures

    def _decode(self, file: Path) -> tuple[str, NDArray[np.uint8]] | str:
        """Digest and image of a file, or the reason why it cannot be read."""
        try:
            content = read_file(file)
            return digest_of(content), self.decoding.decode(BytesIO(content))
        except OSError as error:
            return error.strerror or error_text(error)


@dataclass(eq=False)
class DatasetImages(Dataset[Batch]):
    """Images of a ``torch.utils.data.Dataset`` of pairs (image, label), which are read and decoded at each access."""

    dataset: Any
    decoding: Decoding
    num_classes: int
    name: str  # for error messages

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Tensor, /) -> Tensor:  # type: ignore[override]
        return self.__getitems__(index.tolist())[0]

    def __getitems__(self, indices: list[int]) -> Batch:
        """Read a batch: images (B, C, H, W) and labels (B,)."""
        images, labels = zip(*(self._read(position) for position in indices), strict=True)
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.tensor(labels)

    def _read(self, position: int) -> tuple[NDArray[np.uint8], int]:
        name, item = f"item {position} of {self.name}", self.dataset[position]
        if not isinstance(item, Sequence) or len(item) != 2:
            raise UserError(f"{name} is of type {type(item).__name__}; it must be a pair of an image and a label.")
        try:
            label = as_integer(item[1])
            image = self.decoding.decode(to_image(item[0], f"the image of {name}"))
        except TypeError as error:
            raise UserError(f"the label of {name} is {item[1]!r}, which is not an integer.") from error
        except OSError as error:
            raise UserError(f"the image of {name} cannot be read: {error}.") from error
        if not 0 <= label < self.num_classes:
            raise UserError(f"the label of {name} is {label}; it must be 0 to {self.num_classes - 1}, as class_names.")
        return image, label


def read_dataset(source: DatasetImages, names: Sequence[str], num_workers: int, *, in_memory: bool) -> LabelledImages:
    """Read all items once, for their labels and digests, and for their images if these stay in memory."""
    images = torch.empty(len(source) if in_memory else 0, *source.decoding.shape, dtype=torch.uint8)
    labels, digests = torch.empty(len(source), dtype=torch.long), torch.empty(len(source), dtype=torch.long)
    # A generator of its own: reading draws no random number of the training.
    loader = DataLoader(source, 64, num_workers=num_workers, collate_fn=keep_batch, generator=torch.Generator())
    start = 0
    for batch, batch_labels in track(loader, f"reading {source.name}", **bar_options()):
        part = slice(start, start := start + len(batch))
        labels[part], digests[part] = batch_labels, pixel_digests(batch)
        if in_memory:
            images[part] = batch.permute(0, 2, 3, 1)
    return LabelledImages(images.permute(0, 3, 1, 2) if in_memory else source, labels, names, digests)
