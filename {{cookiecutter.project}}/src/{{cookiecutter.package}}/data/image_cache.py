"""Cache of decoded images on disk: each file is decoded once for all runs with the same size and fit."""

from __future__ import annotations

import logging
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from rich.progress import Progress

from ..errors import UserError
from .cache_index import CacheIndex, Entry
from .content import digest_of, stat_of
from .decoding import Decoding, bar_options
from .image_stores import MappedImages

log = logging.getLogger(__name__)

CHUNK = 256  # files decoded before their images are written; limits memory
NUM_VERIFIED = 256  # rows whose checksum is compared when a cache is opened


class ImageCache:
    """A folder with ``images.bin`` (rows of uint8 (H, W, C)) and ``index.csv`` (an entry for each decoded file).

    Rows are appended first, then the index is replaced atomically, so that the cache stays valid if the process is
    killed. A file lock lets one process at a time write.

    Args:
        folder: folder of all caches; this cache is a subfolder named after the decoding.
        decoding: settings of decoding.
    """

    def __init__(self, folder: Path, decoding: Decoding) -> None:
        self.folder = folder / f"{decoding.image_size}px-{decoding.num_channels}ch-{decoding.fit}"
        self.decoding = decoding
        self.images = self.folder / "images.bin"
        self.index = CacheIndex(self.folder / "index.csv", Entry)

    def open(
        self, files: Sequence[Path], digests: Mapping[Path, str], description: str
    ) -> tuple[MappedImages, dict[Path, str]]:
        """Decode the files that are new or changed, with a progress bar.

        Args:
            files: image files.
            digests: digest of each file's content.
            description: text of the progress bar.

        Returns:
            the images of the readable files, in order, and the reason for each unreadable file.

        Raises:
            UserError: there is not enough disk space.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            entries = self._verified_entries()
            unknown = [file for file in files if not is_current(entries.get(str(file.absolute())), digests[file])]
            failures = self._add(unknown, entries, description) if unknown else {}
        rows = [entries[str(file.absolute())].row for file in files if file not in failures]
        return MappedImages(self.images, self.decoding, np.array(rows, dtype=np.int64)), failures

    def _verified_entries(self) -> dict[str, Entry]:
        """Entries by path; empty, with a warning, if the index or the images are damaged."""
        try:
            entries = self.index.read()
            self._verify(list(entries.values()))
        except (OSError, ValueError) as error:
            log.warning("the image cache in %s is damaged (%s): decoding all images again", self.folder, error)
            self.images.unlink(missing_ok=True)
            return {}
        return entries

    def _verify(self, entries: list[Entry]) -> None:
        """Check the checksums of rows spread over the whole file, including the last row."""
        if not entries:
            return
        ordered = sorted(entries, key=lambda entry: entry.row)
        positions = {round(step) for step in np.linspace(0, len(ordered) - 1, NUM_VERIFIED)}
        with self.images.open("rb") as stream:
            for position in positions:
                stream.seek(ordered[position].row * self.decoding.num_bytes)
                if zlib.crc32(stream.read(self.decoding.num_bytes)) != ordered[position].crc32:
                    raise ValueError(f"row {ordered[position].row} has changed")

    def _add(self, files: Sequence[Path], entries: dict[str, Entry], description: str) -> dict[Path, str]:
        """Append the images of ``files``; after an interruption, the images decoded so far are kept."""
        self._require_room(len(files))
        num_rows = 1 + max((entry.row for entry in entries.values()), default=-1)
        known = {entry.digest: entry for entry in entries.values()}
        failures: dict[Path, str] = {}
        with self.images.open("ab") as stream, Progress(**bar_options()) as progress:
            stream.truncate(num_rows * self.decoding.num_bytes)  # remove rows that a killed process did not index
            task = progress.add_task(description, total=len(files))
            try:
                for start in range(0, len(files), CHUNK):
                    failures |= self._add_chunk(files[start : start + CHUNK], entries, known, stream)
                    progress.advance(task, CHUNK)
            finally:
                stream.flush()
                os.fsync(stream.fileno())
                self.index.write(entries.values())
        return failures

    def _add_chunk(
        self, files: Sequence[Path], entries: dict[str, Entry], known: dict[str, Entry], stream: BinaryIO
    ) -> dict[Path, str]:
        """Decode on all cores and append; a file whose digest is ``known`` shares the existing row."""
        failures = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for file, result in zip(files, pool.map(self._read, files), strict=True):
                if isinstance(result, str):
                    failures[file] = result
                    continue
                digest, image = result
                if digest in known:
                    row, crc32 = known[digest].row, known[digest].crc32
                else:
                    row, crc32 = stream.tell() // self.decoding.num_bytes, zlib.crc32(image.tobytes())
                    stream.write(image.tobytes())
                entry = Entry(str(file.absolute()), *stat_of(file), digest, row, crc32)
                entries[entry.path] = known[digest] = entry
        return failures

    def _read(self, file: Path) -> tuple[str, NDArray[np.uint8]] | str:
        """Digest and image of a file, or the reason why it cannot be read."""
        try:
            content = file.read_bytes()
            return digest_of(content), self.decoding.decode(BytesIO(content))
        except OSError as error:
            return str(error)

    def _require_room(self, num_files: int) -> None:
        needed, free = num_files * self.decoding.num_bytes, shutil.disk_usage(self.folder).free
        if needed > free:
            raise UserError(
                f"data.cache_dir is {str(self.folder.parent)!r}, with {free / 1e9:.1f} GB free, and {num_files} "
                f"decoded images need {needed / 1e9:.1f} GB. Free disk space, give another --data.cache_dir, a smaller "
                "--data.image_size, or --data.cache none."
            )


def is_current(entry: Entry | None, digest: str) -> bool:
    """Whether the cached image was decoded from the file's current content."""
    return entry is not None and entry.digest == digest
