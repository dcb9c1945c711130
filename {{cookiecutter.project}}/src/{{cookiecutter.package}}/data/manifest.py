"""The split manifest: a CSV file that says, once and for all, which image is in which split."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from ..errors import UserError, some
from .folder_index import FolderIndex
from .splits import SPLITS, Split

FILE_NAME = "splits.csv"
COLUMNS = ["path", "class", "split", "digest", "group"]


@dataclass(frozen=True)
class ManifestRow:
    """One image.

    Attributes:
        path: relative to the root of the folder, with forward slashes.
        class_name: of its folder.
        split: where it is, for good.
        digest: of its content, by which a renamed file is recognised.
        group: what it shares with other images, a patient or a product; empty where nothing is known.
    """

    path: str
    class_name: str
    split: Split
    digest: str
    group: str = ""


def write_manifest(file: Path, rows: Iterable[ManifestRow]) -> None:
    """Write the rows sorted by path, so that versions of a manifest can be compared line by line."""
    temporary = file.with_name(f"{file.name}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for row in sorted(rows, key=lambda row: row.path))
    temporary.replace(file)


def read_manifest(file: Path) -> list[ManifestRow]:
    """Read a manifest.

    Raises:
        UserError: the file is missing, has other columns, an unknown split, or an image twice.
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            heading, *lines = [line for line in csv.reader(stream) if line] or [[]]
    except OSError as error:
        raise UserError(f"data.splits is {str(file)!r}, which cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"data.splits is {str(file)!r}, which is no text in UTF-8.") from error
    if heading != COLUMNS:
        raise UserError(f"data.splits is {str(file)!r}, whose columns are {heading}; they must be {COLUMNS}.")
    for number, line in enumerate(lines, start=2):
        if len(line) != len(COLUMNS) or line[2] not in SPLITS:
            raise UserError(f"{file}, line {number}: {line}; expected {COLUMNS}, the split one of {list(SPLITS)}.")
    twice = [path for path, count in Counter(line[0] for line in lines).items() if count > 1]
    if twice:
        raise UserError(
            f"data.splits is {str(file)!r}, which names {some(twice)} more than once. Keep one line of each."
        )
    return [ManifestRow(path, name, split, digest, group) for path, name, split, digest, group in lines]  # type: ignore[arg-type]


def assign(index: FolderIndex, rows: Sequence[ManifestRow], file: Path) -> dict[Split, list[tuple[Path, int]]]:
    """The files of a folder by split, as the manifest says.

    Raises:
        UserError: the manifest and the folder do not hold the same images, of the same classes, or a split is empty.
    """
    labels = {path.relative_to(index.root).as_posix(): (path, label) for path, label in index.all_files()}
    split_of = {row.path: row.split for row in rows}
    gone, new = sorted(split_of.keys() - labels.keys()), sorted(labels.keys() - split_of.keys())
    if gone or new:
        raise UserError(
            f"{file} and {str(index.root)!r} differ: {len(gone)} of its images are not there ({some(gone)}), and "
            f"{len(new)} images are new ({some(new)}). `split {index.root} --extend` keeps every image in its split "
            "and shares out the new ones."
        )
    moved = [row.path for row in rows if row.class_name != index.class_names[labels[row.path][1]]]
    if moved:
        raise UserError(f"{file} has {some(moved)} in another class than {str(index.root)!r}. Run split --extend.")
    empty = [split for split in SPLITS if split not in split_of.values()]
    if empty:
        raise UserError(f"{file} has no image in {', '.join(empty)}; train, val and test need at least one each.")
    return {split: [labels[path] for path in sorted(labels) if split_of[path] == split] for split in SPLITS}


def groups_in_several_splits(rows: Iterable[ManifestRow]) -> Mapping[str, set[Split]]:
    """Groups, other than the empty one, with images in more than one split."""
    splits: dict[str, set[Split]] = {}
    for row in rows:
        if row.group:
            splits.setdefault(row.group, set()).add(row.split)
    return {group: found for group, found in splits.items() if len(found) > 1}
