"""The split manifest: a CSV file that assigns each image to a split."""

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
    """One row of the manifest: one image.

    Attributes:
        path: path relative to the root folder, with forward slashes.
        class_name: name of its class folder.
        split: its split.
        digest: digest of its content, which identifies a renamed file.
        group: images of one group (a patient or a product, for example) stay in one split; empty without a group.
    """

    path: str
    class_name: str
    split: Split
    digest: str
    group: str = ""


def write_manifest(file: Path, rows: Iterable[ManifestRow]) -> None:
    """Write the rows sorted by path, so that two versions can be compared with diff."""
    temporary = file.with_name(f"{file.name}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for row in sorted(rows, key=lambda row: row.path))
    temporary.replace(file)


def read_manifest(file: Path) -> list[ManifestRow]:
    """Read a manifest.

    Raises:
        UserError: the file is missing, has wrong columns or an unknown split, or lists an image twice.
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            heading, *lines = [line for line in csv.reader(stream) if line] or [[]]
    except OSError as error:
        raise UserError(f"data.splits is {str(file)!r}, which cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"data.splits is {str(file)!r}, which is not UTF-8 text.") from error
    if heading != COLUMNS:
        raise UserError(f"data.splits is {str(file)!r}, whose columns are {heading}; they must be {COLUMNS}.")
    for number, line in enumerate(lines, start=2):
        if len(line) != len(COLUMNS) or line[2] not in SPLITS:
            raise UserError(f"{file}, line {number}: {line}; expected {COLUMNS}, the split one of {list(SPLITS)}.")
    twice = [path for path, count in Counter(line[0] for line in lines).items() if count > 1]
    if twice:
        raise UserError(
            f"data.splits is {str(file)!r}, which lists {some(twice)} more than once. Keep one line of each."
        )
    return [ManifestRow(path, name, split, digest, group) for path, name, split, digest, group in lines]  # type: ignore[arg-type]


def assign(index: FolderIndex, rows: Sequence[ManifestRow], file: Path) -> dict[Split, list[tuple[Path, int]]]:
    """The files of a folder by split, according to the manifest.

    Raises:
        UserError: manifest and folder differ in their images or classes, or a split is empty.
    """
    labels = {path.relative_to(index.root).as_posix(): (path, label) for path, label in index.all_files()}
    split_of = {row.path: row.split for row in rows}
    gone, new = sorted(split_of.keys() - labels.keys()), sorted(labels.keys() - split_of.keys())
    if gone or new:
        raise UserError(
            f"{file} and {str(index.root)!r} differ in their images: {len(gone)} missing ({some(gone)}), {len(new)} "
            f"new ({some(new)}). `split {index.root} --extend` keeps the split of every known image and assigns "
            "the new ones."
        )
    moved = [row.path for row in rows if row.class_name != index.class_names[labels[row.path][1]]]
    if moved:
        raise UserError(f"{file} and {str(index.root)!r} differ in the class of {some(moved)}. Run split --extend.")
    empty = [split for split in SPLITS if split not in split_of.values()]
    if empty:
        raise UserError(f"{file} has no image in {', '.join(empty)}; train, val and test need at least one each.")
    return {split: [labels[path] for path in sorted(labels) if split_of[path] == split] for split in SPLITS}


def groups_in_several_splits(rows: Iterable[ManifestRow]) -> Mapping[str, set[Split]]:
    """Groups with images in more than one split; the empty group is ignored."""
    splits: dict[str, set[Split]] = {}
    for row in rows:
        if row.group:
            splits.setdefault(row.group, set()).add(row.split)
    return {group: found for group, found in splits.items() if len(found) > 1}
