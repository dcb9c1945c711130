"""Assign each image of a folder to train, val or test, in a file to commit."""

import argparse
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ..engine.folder import MANIFEST, FolderIndex, ManifestRow, index_folder, read_manifest, write_manifest
from ..engine.recipes import VerbParser
from ..engine.splits import SPLITS, Split, carve, carve_groups, digest_of
from ..errors import UserError
from ..files import require_output
from ..predictor import read_file
from ..values import Depth, Fraction, Seed

log = logging.getLogger(__name__)

EPILOGUE = """\
Existing split folders (train, val, test) are kept; missing splits are carved from train. `fit` reads ROOT/splits.csv
automatically, or another manifest with --data.splits FILE. Commit the file, so that results stay comparable.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = VerbParser("split", __doc__, EPILOGUE)
    add = parser.add_argument
    add("root", type=Path, help="folder of images: ROOT/<class>/* or ROOT/train/<class>/*")
    add("--val_fraction", type=Fraction, default=0.15, help="share of images for val (default: 0.15)")
    add("--test_fraction", type=Fraction, default=0.15, help="share of images for test (default: 0.15)")
    add("--test_folder", choices=("val", "test"), default="test", help="folder for the test split")
    add("--seed", type=Seed, default=0, help="seed of carved splits (default: 0)")
    group_help = "regular expression on paths; images with the same match (or first group) stay in one split"
    add("--group", metavar="REGEX", type=pattern, help=group_help)
    add("--folds", type=Depth, metavar="K", help="write K manifests for cross-validation")
    add("--output", type=Path, metavar="FILE", help="manifest to write (default: ROOT/splits.csv)")
    add("--extend", action="store_true", help="keep known images in their splits, assign new ones")
    return parser


def pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from error


def split(options: Sequence[str]) -> None:
    """Write the manifest, and print the number of images per class and split; the last printed line is its path."""
    arguments = build_parser().parse_args(options)
    output: Path = arguments.output or arguments.root / MANIFEST
    index = index_folder(arguments.root)
    require_output(output)
    if output.exists() and not arguments.extend:
        raise UserError(
            f"{str(output)!r} exists already, and earlier results depend on it. Add new images with --extend, write "
            "another manifest with --output FILE, or remove it first."
        )
    if arguments.extend and not output.exists():
        raise UserError(f"--extend needs {str(output)!r}, which does not exist. Leave out --extend to create it.")
    if arguments.extend and arguments.folds:
        raise UserError("--extend and --folds cannot be combined: folds are always assigned anew.")
    if arguments.folds is not None and arguments.folds < 2:
        raise UserError(f"--folds is {arguments.folds}; it must be 2 or more.")
    images = list_images(index, arguments.group)
    if arguments.extend:
        rows = extend(images, read_manifest(output), arguments)
    else:
        rows = first_split(images, index.class_names, arguments)
    manifests = list(folds(rows, output, arguments)) if arguments.folds else [(output, rows)]
    for file, manifest in manifests:
        write_manifest(file, manifest)
    for file, manifest in manifests:
        print_counts(manifest, index.class_names)
        print(file)


def list_images(index: FolderIndex, group: re.Pattern[str] | None) -> list[ManifestRow]:
    """All images, each in the split of its folder; ``train`` without split folders."""
    rows = []
    for split, files in index.files.items():
        for file, label in files:
            path = file.relative_to(index.root).as_posix()
            match = group.search(path) if group else None
            name = match[min(1, match.re.groups)] or "" if match else ""  # the first group, or the whole match
            rows.append(ManifestRow(path, index.class_names[label], split, digest_of(read_file(file)), name))
    return rows


def first_split(images: list[ManifestRow], class_names: list[str], arguments: argparse.Namespace) -> list[ManifestRow]:
    """Keep the splits that have folders, and carve missing ones from train; groups stay together."""
    if arguments.test_folder == "val" and {row.split for row in images} & {"val", "test"} != {"val"}:
        raise UserError(
            f"--test_folder is val, and {str(arguments.root)!r} has no folder val, or has a folder test as well. Leave "
            "it out."
        )
    rows = [replace(row, split="test") if row.split == arguments.test_folder else row for row in images]
    shares: dict[Split, float] = {"test": arguments.test_fraction, "val": arguments.val_fraction}
    for split, share in shares.items():
        if any(row.split == split for row in rows):
            continue
        train = [position for position, row in enumerate(rows) if row.split == "train"]
        labels = [class_names.index(rows[position].class_name) for position in train]
        groups = inseparable([rows[position] for position in train])
        if len(set(groups)) == len(groups):
            carved = carve(labels, share, arguments.seed, name=split, class_names=class_names)[1]
        else:
            carved = carve_groups(labels, groups, share, arguments.seed, name=split, class_names=class_names)[1]
        for position in carved:
            rows[train[position]] = replace(rows[train[position]], split=split)
    return rows


def inseparable(rows: Sequence[ManifestRow]) -> list[int]:
    """A number for each image; images of one group or with equal content share it and stay in one split."""
    root = list(range(len(rows)))

    def find(position: int) -> int:
        while root[position] != position:
            root[position] = position = root[root[position]]
        return position

    first: dict[tuple[str, str], int] = {}
    for position, row in enumerate(rows):
        for key in [("digest", row.digest), *([("group", row.group)] if row.group else [])]:
            root[find(position)] = find(first.setdefault(key, position))
    return [find(position) for position in range(len(rows))]


def extend(images: list[ManifestRow], known: list[ManifestRow], arguments: argparse.Namespace) -> list[ManifestRow]:
    """Keep known images, and new images of known groups, in their splits; assign the others by the fractions.

    The split of a new image depends only on the seed and on its group or content, not on other new images.
    """
    splits = {row.digest: row.split for row in known} | {row.group: row.split for row in known if row.group}
    groups = {row.digest: row.group for row in known}
    if any(groups.values()) and arguments.group is None:
        log.warning("new images are in no group: --group is not given, and %s has groups", arguments.output or MANIFEST)
    rows = []
    for image in images:
        split = splits.get(image.digest) or splits.get(image.group)
        if split is None and image.split == "train":
            draw = int(digest_of(f"{arguments.seed} {image.group or image.digest}".encode()), 16) / 16**32
            left = (draw - arguments.test_fraction) / (1 - arguments.test_fraction)
            split = "test" if left < 0 else "val" if left < arguments.val_fraction else "train"
        group = image.group if arguments.group else groups.get(image.digest, "")
        rows.append(replace(image, split=split or image.split, group=group))
    return rows


def folds(
    rows: list[ManifestRow], output: Path, arguments: argparse.Namespace
) -> Iterator[tuple[Path, list[ManifestRow]]]:
    """K manifests with the same test split; each of the other images is in val exactly once."""
    from sklearn.model_selection import StratifiedGroupKFold

    test, rest = [row for row in rows if row.split == "test"], [row for row in rows if row.split != "test"]
    labels, groups = [row.class_name for row in rest], inseparable(rest)
    smallest = min(Counter(labels).values())
    if arguments.folds > min(smallest, len(set(groups))):
        raise UserError(
            f"--folds is {arguments.folds}, but outside the test split the smallest class has {smallest} images, and "
            f"there are {len(set(groups))} groups. Give fewer folds, or add images."
        )
    splitter = StratifiedGroupKFold(arguments.folds, shuffle=True, random_state=arguments.seed)
    for number, (_, chosen) in enumerate(splitter.split(labels, labels, groups), start=1):
        val = set(chosen.tolist())
        own = [replace(row, split="val" if position in val else "train") for position, row in enumerate(rest)]
        yield output.with_name(f"{output.stem}-{number}-of-{arguments.folds}{output.suffix}"), [*test, *own]


def print_counts(rows: Sequence[ManifestRow], class_names: Sequence[str]) -> None:
    counts = Counter((row.class_name, row.split) for row in rows)
    table = Table("class", *(Column(split, justify="right") for split in SPLITS))
    for name in class_names:
        table.add_row(escape(name), *(f"{counts[name, split]:,}" for split in SPLITS))
    table.add_section()
    table.add_row("all", *(f"{sum(row.split == split for row in rows):,}" for split in SPLITS))
    Console().print(table)
