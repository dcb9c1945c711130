"""The index of an image cache: which file is in which row."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One decoded file.

    Attributes:
        path: absolute.
        size: of the file, in bytes, when it was read.
        mtime_ns: its time of change, when it was read.
        digest: of its content.
        row: of its image.
        crc32: of that row.
    """

    path: str
    size: int
    mtime_ns: int
    digest: str
    row: int
    crc32: int


COLUMNS = [field.name for field in fields(Entry)]


class CacheIndex:
    """A CSV file with a row for each entry, and a digest of them all at its end."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> dict[str, Entry]:
        """Entries by path; none where there is no file.

        Raises:
            ValueError: the file is not as it was written.
        """
        if not self.file.exists():
            return {}
        text, _, digest = self.file.read_text(encoding="utf-8").rpartition("#")
        if digest_of(text.encode()) != digest:
            raise ValueError("its index has changed")
        rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
        return {
            path: Entry(path, int(size), int(mtime_ns), content, int(row), int(crc32))
            for path, size, mtime_ns, content, row, crc32 in rows
        }

    def write(self, entries: Iterable[Entry]) -> None:
        """Replace the file in one step: a reader finds the old index or the new one."""
        temporary = self.file.with_suffix(".tmp")
        with temporary.open("w+", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(astuple(entry) for entry in entries)
            stream.seek(0)
            digest = digest_of(stream.read().encode())
            stream.write(f"#{digest}")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self.file)


def digest_of(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def stat_of(file: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds."""
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns
