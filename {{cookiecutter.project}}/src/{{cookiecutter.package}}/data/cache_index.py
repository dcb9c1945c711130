"""Index files of a cache: CSV files that end with a digest of their rows."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from .content import digest_of


@dataclass(frozen=True)
class KnownFile:
    """A file whose content has been read.

    Attributes:
        path: absolute path.
        size: file size in bytes when it was read.
        mtime_ns: modification time when it was read, in nanoseconds.
        digest: digest of its content.
    """

    path: str
    size: int
    mtime_ns: int
    digest: str


@dataclass(frozen=True)
class Entry(KnownFile):
    """A file whose image has been decoded.

    Attributes:
        row: row of its image in the cache.
        crc32: checksum of that row.
    """

    row: int
    crc32: int


Row = TypeVar("Row", Entry, KnownFile)


class CacheIndex(Generic[Row]):
    """A CSV file with one row per path and a digest of all rows at its end.

    Args:
        file: the CSV file.
        row_type: a dataclass whose fields (str or int) are the columns.
    """

    def __init__(self, file: Path, row_type: type[Row]) -> None:
        self.file = file
        self.row_type: type[Row] = row_type

    def read(self) -> dict[str, Row]:
        """Rows by path; empty if there is no file.

        Raises:
            ValueError: the file was changed after it was written.
        """
        if not self.file.exists():
            return {}
        text, _, digest = self.file.read_text(encoding="utf-8", errors="surrogateescape").rpartition("#")
        if digest_of(text.encode(errors="surrogateescape")) != digest:
            raise ValueError("its index has changed")
        convert = [int if field.type == "int" else str for field in fields(self.row_type)]
        lines = list(csv.reader(io.StringIO(text, newline="")))[1:]
        rows: Iterator[list[Any]] = (
            [as_type(cell) for as_type, cell in zip(convert, line, strict=True)] for line in lines
        )
        return {str(cells[0]): self.row_type(*cells) for cells in rows}

    def write(self, rows: Iterable[Row]) -> None:
        """Replace the file atomically: a reader sees either the old index or the new one."""
        temporary = self.file.with_suffix(".tmp")
        with temporary.open("w+", newline="", encoding="utf-8", errors="surrogateescape") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(field.name for field in fields(self.row_type))
            writer.writerows(astuple(row) for row in rows)
            stream.seek(0)
            digest = digest_of(stream.read().encode(errors="surrogateescape"))
            stream.write(f"#{digest}")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self.file)
