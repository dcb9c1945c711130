"""Computes digests of image files and caches them until a file changes."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from .cache_index import CacheIndex, KnownFile
from .content import digest_of, stat_of

log = logging.getLogger(__name__)

FILE_NAME = "digests.csv"
NUM_CHECKED = 32  # random cached files that are read again at each start


class FileDigests:
    """Digests by file, cached in ``folder/digests.csv``.

    The cache identifies a file by path, size and modification time. The content can change while these stay the same,
    for example by ``cp -p``. Therefore a random sample of files is read again each time, and if one of them has
    changed, all files are read again.

    Args:
        folder: folder of the cache; None disables it.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def of(self, files: Sequence[Path]) -> dict[Path, str]:
        """Digest of the content of each file; for files that cannot be read, digest of the path."""
        if self.folder is None:
            return {file: known.digest for file, known in read_all(files).items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f"{FILE_NAME}.lock"):
            return {file: known.digest for file, known in self._update(files).items()}

    def stale(self, digests: dict[Path, str]) -> list[Path]:
        """Files whose content has changed since they were cached, although size and modification time are the same.

        These files are removed from the cache, so that the next training decodes them again.

        Args:
            digests: digests of all files, computed from their current content.
        """
        if self.folder is None or not (self.folder / FILE_NAME).is_file():
            return []
        with FileLock(self.folder / f"{FILE_NAME}.lock"):
            remembered = self._remembered()
            found = [
                file
                for file, digest in digests.items()
                if is_known(known := remembered.get(str(file.absolute())), file) and known and known.digest != digest
            ]
            if found:
                for file in found:
                    del remembered[str(file.absolute())]
                self._index.write(remembered.values())
        return found

    @property
    def _index(self) -> CacheIndex[KnownFile]:
        assert self.folder is not None
        return CacheIndex(self.folder / FILE_NAME, KnownFile)

    def _remembered(self) -> dict[str, KnownFile]:
        try:
            return self._index.read()
        except (OSError, ValueError, TypeError):  # the cache is damaged: read all files again
            return {}

    def _update(self, files: Sequence[Path]) -> dict[Path, KnownFile]:
        remembered = self._remembered()
        current = {
            file: known for file in files if (known := remembered.get(str(file.absolute()))) and is_known(known, file)
        }
        checked = random.sample(list(current), min(NUM_CHECKED, len(current)))
        changed = [file for file, known in read_all(checked).items() if known.digest != current[file].digest]
        if changed:
            log.warning(
                "the content of %s has changed, but not its size and modification time: reading all %s cached "
                "files again",
                changed[0],
                f"{len(current):,}",
            )
            current = {}
        found = current | read_all([file for file in files if file not in current])
        if len(current) < len(found):
            remembered |= {known.path: known for known in found.values() if known.size >= 0}
            self._index.write(remembered.values())
        return found


def is_known(known: KnownFile | None, file: Path) -> bool:
    """Whether size and modification time are the same as when the file was read."""
    try:
        return known is not None and (known.size, known.mtime_ns) == stat_of(file)
    except OSError:
        return False


def read_all(files: Sequence[Path]) -> dict[Path, KnownFile]:
    """Read files in parallel and compute their digests."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(files, pool.map(read, files), strict=True))


def read(file: Path) -> KnownFile:
    """Read a file and compute its digest; ``size`` is -1 if it cannot be read."""
    path = str(file.absolute())
    try:
        size, mtime_ns = stat_of(file)
        return KnownFile(path, size, mtime_ns, digest_of(file.read_bytes()))
    except OSError:
        return KnownFile(path, -1, 0, digest_of(f"unreadable {path}".encode(errors="surrogateescape")))
