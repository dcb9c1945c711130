"""Expands the inputs of a prediction (images, folders, patterns, lists) to paths of images."""

from __future__ import annotations

import csv
import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..data.folder_index import image_extensions, images_below
from ..errors import UserError

STANDARD_INPUT = "-"
COLUMN = "path"


def image_paths(inputs: Sequence[str]) -> Iterator[str]:
    """Paths of all inputs in the given order, including repeated ones.

    Args:
        inputs: each is an image; a folder, whose images are found at any depth and sorted; a pattern such as
            ``photos/**/*.jpg``; a CSV file with a column ``path``, relative to its folder; or ``-``, which reads one
            path per line from standard input.

    Raises:
        UserError: an input is none of these.
    """
    for given in inputs:
        yield from paths_of(given)


def count_images(inputs: Sequence[str]) -> int | None:
    """Number of paths; None if standard input is among the inputs.

    Raises:
        UserError: an input is of no supported kind, or contains no image.
    """
    counts = [count(given) for given in inputs if given != STANDARD_INPUT]
    return sum(counts) if len(counts) == len(inputs) else None


def count(given: str) -> int:
    num_paths = sum(1 for _ in paths_of(given))
    if num_paths == 0:
        raise UserError(
            f"PATH is {given!r}, which contains or matches no image. Give a folder or CSV list of images, or a pattern "
            "such as 'photos/**/*.jpg'."
        )
    return num_paths


def paths_of(given: str) -> Iterator[str]:
    ending = Path(given).suffix.lower()
    if given == STANDARD_INPUT:
        return lines_of_standard_input()
    if os.path.isdir(given):  # noqa: PTH112, Path.is_dir raises where a name is too long or a folder is forbidden
        return (str(file) for file in images_below(Path(given)))
    if ending == ".csv":
        return listed_in(Path(given))
    if os.path.lexists(given):
        return iter([given])
    if glob.has_magic(given):
        return matches(given)
    if ending in image_extensions():
        return iter([given])  # reported with the unreadable images; the others are still classified
    raise UserError(
        f"PATH is {given!r}, but there is no such file or folder. Give images, folders, patterns in quotes, "
        "a CSV file with a column path, or - for paths on standard input."
    )


def lines_of_standard_input() -> Iterator[str]:
    lines = (os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer)
    return (line for line in lines if line)


def listed_in(file: Path) -> Iterator[str]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:  # spreadsheets write a byte-order mark
            table = csv.DictReader(stream)
            if COLUMN not in (table.fieldnames or []):
                raise UserError(
                    f"PATH is {str(file)!r}, whose columns are {list(table.fieldnames or [])}; one must be {COLUMN!r}."
                )
            for row in table:
                if not row[COLUMN]:
                    raise UserError(f"{file}, line {table.line_num}: the column {COLUMN!r} is empty. Fill it.")
                yield str(file.parent / row[COLUMN])
    except OSError as error:
        raise UserError(f"PATH is {str(file)!r}, which cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"PATH is {str(file)!r}, which is not a CSV file in UTF-8: {error}.") from error


def matches(pattern: str) -> Iterator[str]:
    """Matching images, sorted; hidden files, other kinds of files and folders are skipped."""
    extensions = image_extensions()
    for found in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207, Path.glob takes no absolute pattern
        if Path(found).suffix.lower() in extensions and not os.path.isdir(found):  # noqa: PTH112, as above
            yield found
