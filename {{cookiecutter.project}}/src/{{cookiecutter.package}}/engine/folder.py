"""Lists the image files of a folder with their classes, and reads and writes its split manifest."""

import csv
import logging
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from ..errors import UserError, escaped, is_utf8, program_name, some
from ..files import replacing
from ..predictor import CsvRows, image_extensions, images_below
from .reading import read_csv
from .splits import SPLITS, Split, carve_by_content

log = logging.getLogger(__name__)

SPLIT_FOLDERS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
LAYOUTS = "ROOT/<class>/* or ROOT/train/<class>/* (optionally with val/ and test/ next to train/)"


@dataclass(frozen=True)
class FolderIndex:
    """The image files of each split that a folder has (only ``train`` without split folders), each with its label."""

    root: Path
    class_names: list[str]  # of the training split, sorted; a name's position is its label
    files: dict[Split, list[tuple[Path, int]]]

    def all_files(self) -> list[tuple[Path, int]]:
        """The files of all splits."""
        return [file for files in self.files.values() for file in files]


def index_files(root: Path, files: Mapping[Split, Sequence[tuple[Path, str]]]) -> FolderIndex:
    """Build the index of files below ``root``, listed with their class names, for each split or only for ``train``."""
    class_names = sorted({name for _, name in files["train"]})
    if len(class_names) < 2:
        raise UserError(f"{str(root)!r} has the classes {class_names}; a classifier needs at least 2.")
    for split, listed in files.items():
        require_known(split, {name for _, name in listed}, class_names, root)
    label_of = {name: label for label, name in enumerate(class_names)}
    labelled = {split: [(file, label_of[name]) for file, name in listed] for split, listed in files.items()}
    return FolderIndex(root, class_names, labelled)


def index_folder(root: Path) -> FolderIndex:
    """List a folder of images; the files are sorted. Refuses missing, empty, duplicate and unknown class folders."""
    if not root.is_dir():
        raise UserError(f"data.root is {str(root)!r}, which is not a folder. Expected {LAYOUTS}.")
    folders = split_folders(root)
    class_names = [folder.name for folder in subfolders(folders["train"])]
    if len(class_names) < 2:
        found = f"only the class {class_names[0]!r}" if class_names else "no class folders"
        raise UserError(f"{str(folders['train'])!r} has {found}; a classifier needs at least 2. Expected {LAYOUTS}.")
    warn_of_unused(root, folders)
    files: dict[Split, list[tuple[Path, int]]] = {}
    for split, folder in folders.items():
        require_known(split, {found.name for found in subfolders(folder)}, class_names, folder)
        files[split] = [(path, label) for label, name in enumerate(class_names) for path in images_below(folder / name)]
        if split != "train" and not files[split]:
            raise UserError(
                f"{str(folder)!r} has no images. Add images, or remove the folder to carve {split} from train."
            )
    if wrong := [
        path.relative_to(root) for of_split in files.values() for path, _ in of_split if not is_utf8(str(path))
    ]:
        raise UserError(
            f"{escaped(str(root)) if not is_utf8(str(root)) else repr(str(root))} has names that are not UTF-8: "
            f"{some([escaped(str(path)) for path in wrong])}. Rename these files or folders."
        )
    for label in sorted(set(range(len(class_names))) - {label for _, label in files["train"]}):
        name = class_names[label]
        raise UserError(
            f"class {name!r} has no images: {str(folders['train'] / name)!r} is empty or holds other files. "
            "Add images (.jpg, .png, .tif, .webp and other formats of Pillow), or remove the folder."
        )
    return FolderIndex(root, class_names, files)


def warn_of_unused(root: Path, folders: Mapping[Split, Path]) -> None:
    """Log images that are in no class folder, and folders next to those of the splits."""
    extensions, parents = image_extensions(), {root, *folders.values()}
    unused = [path for folder in parents for path in folder.iterdir() if path.suffix.lower() in extensions]
    unused = [path for path in unused if not path.name.startswith(".") and not path.is_dir()]
    unused += [] if root in folders.values() else sorted({*subfolders(root)} - {*folders.values()})
    if unused:
        log.warning("not used, as in no class folder: %s", some([repr(str(path)) for path in sorted(unused)]))


def require_known(split: Split, found: set[str], class_names: Sequence[str], folder: Path) -> None:
    """Refuse classes of a split that ``train`` does not have; classes are matched by name, not by position."""
    extra = sorted(found - set(class_names))
    if extra:
        raise UserError(
            f"{split} has classes that train does not have: {extra}. Classes in train: {class_names}. "
            f"Rename or remove them in {str(folder)!r}, or add the classes to train."
        )


def split_folders(root: Path) -> dict[Split, Path]:
    """The folder of each split; without split folders, the root is ``train``."""
    found: dict[Split, Path] = {}
    for folder in subfolders(root):
        split = SPLIT_FOLDERS.get(folder.name.lower())
        if split in found:
            raise UserError(
                f"data.root has two folders for {split}: {found[split].name!r} and {folder.name!r}. Keep one."
            )
        if split is not None:
            found[split] = folder
    if found and "train" not in found:
        raise UserError(f"data.root is {str(root)!r}, which has {sorted(found)} but no train. Expected {LAYOUTS}.")
    return found or {"train": root}


def subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def carve_files(
    index: FolderIndex, digests: Mapping[Path, str], fractions: Mapping[Split, float], seed: int
) -> dict[Split, list[tuple[Path, int]]]:
    """The files of all splits; those that the index does not have are carved from train, by content."""
    files = dict(index.files)
    needed = [split for split in SPLITS if split == "train" or split not in files]
    counts = Counter(label for _, label in files["train"])
    for label, name in enumerate(index.class_names):
        if counts[label] < len(needed):
            raise UserError(
                f"class {name!r} has {counts[label]} of {len(files['train'])} images, and {len(needed)} are needed, "
                f"one for each of {', '.join(needed)}. Add images to the class, or remove its folder; audit lists all "
                "such classes."
            )
    for split in [split for split in fractions if split in needed]:
        train = files["train"]
        contents, labels = [digests[file] for file, _ in train], [label for _, label in train]
        if len(set(contents)) == 1:
            raise UserError(
                f"data.root is {str(index.root)!r}, and all {len(train):,} images are the same file, so a model cannot "
                "learn from them. Check how they were copied."
            )
        names, num_kept = index.class_names, 2 if split == "test" and "val" in needed else 1
        kept, carved = carve_by_content(
            contents, labels, fractions[split], seed, name=split, class_names=names, num_kept=num_kept
        )
        log.info("no %s folder: carved %d of %d training images, by their content", split, len(carved), len(train))
        files["train"], files[split] = [train[i] for i in kept], [train[i] for i in carved]
    return files


MANIFEST = "splits.csv"
MANIFEST_COLUMNS = ["path", "class", "split", "digest", "group"]


@dataclass(frozen=True)
class ManifestRow:
    """One row of the manifest: one image."""

    path: str  # relative to the root folder, with forward slashes
    class_name: str
    split: Split
    digest: str  # of the content, which identifies a renamed file
    group: str = ""  # images of one group (a patient or a product, for example) stay in one split


def write_manifest(file: Path, rows: Iterable[ManifestRow]) -> None:
    """Write the rows sorted by path, so that two versions can be compared with diff."""
    with replacing(file) as stream:
        writer = csv.writer(CsvRows(stream))
        writer.writerow(MANIFEST_COLUMNS)
        writer.writerows(astuple(row) for row in sorted(rows, key=lambda row: row.path))


def read_manifest(file: Path) -> list[ManifestRow]:
    """Read a manifest; refuses wrong columns, unknown splits and images that are listed twice."""
    remedy = f"The columns are {', '.join(MANIFEST_COLUMNS)}; restore the file from a copy, or split again."
    cells = [[row[name] for name in MANIFEST_COLUMNS] for row in read_csv(file, MANIFEST_COLUMNS, remedy)]
    rows = [ManifestRow(*row) for row in cells]  # type: ignore[arg-type]
    for number, row in enumerate(rows, start=2):
        if row.split not in SPLITS:
            raise UserError(f"{str(file)!r}, row {number}: split is {row.split!r}; it must be train, val or test.")
        if not re.fullmatch("[0-9a-f]*", row.digest):
            raise UserError(
                f"{str(file)!r}, row {number}: digest is {row.digest!r}, not of hexadecimal digits. {remedy}"
            )
    twice = [path for path, count in Counter(row.path for row in rows).items() if count > 1]
    if twice:
        raise UserError(
            f"data.splits is {str(file)!r}, which lists {some(twice)} more than once. Keep one line of each."
        )
    return rows


def assign(index: FolderIndex, rows: Sequence[ManifestRow], file: Path) -> dict[Split, list[tuple[Path, int]]]:
    """The files of a folder by split, according to the manifest; refuses it if they differ, or if a split is empty."""
    labels = {path.relative_to(index.root).as_posix(): (path, label) for path, label in index.all_files()}
    split_of = {row.path: row.split for row in rows}
    gone, new = sorted(split_of.keys() - labels.keys()), sorted(labels.keys() - split_of.keys())
    if gone or new:
        raise UserError(
            f"{file} and {str(index.root)!r} differ in their images: {len(gone)} missing ({some(gone)}), {len(new)} "
            f"new ({some(new)}). To keep the split of every known image and assign the new ones: {program_name()} "
            f"split {shlex.quote(str(index.root))} --extend --output {shlex.quote(str(file))}"
        )
    moved = [row.path for row in rows if row.class_name != index.class_names[labels[row.path][1]]]
    if moved:
        raise UserError(f"{file} and {str(index.root)!r} differ in the class of {some(moved)}. Run split --extend.")
    splits_of: dict[str, set[Split]] = {}
    for row in rows:
        splits_of.setdefault(row.group, set()).add(row.split)
    if divided := sorted(group for group, splits in splits_of.items() if group and len(splits) > 1):
        log.warning("%s: groups in several splits, so that results are too optimistic: %s", file, some(divided))
    empty = [split for split in SPLITS if split not in split_of.values()]
    if empty:
        raise UserError(f"{file} has no image in {', '.join(empty)}; train, val and test need at least one each.")
    return {split: [labels[path] for path in sorted(labels) if split_of[path] == split] for split in SPLITS}
