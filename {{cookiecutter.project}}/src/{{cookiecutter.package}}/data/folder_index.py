"""Which image files a folder holds, and of which class each is, before any of them is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..errors import UserError
from .splits import Split

SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
LAYOUTS = "ROOT/<class>/* or ROOT/train/<class>/* (with val/ and test/ beside train/ where you have them)"


@dataclass(frozen=True)
class FolderIndex:
    """Files and labels of a folder.

    Attributes:
        root: the folder.
        class_names: names of the class folders of the training split, sorted; the position is the label.
        files: for each split that has a folder (only ``train`` where the layout has no split folders), its image
            files, sorted, each with its label.
    """

    root: Path
    class_names: list[str]
    files: dict[Split, list[tuple[Path, int]]]

    def all_files(self) -> list[tuple[Path, int]]:
        """The files of all splits."""
        return [file for files in self.files.values() for file in files]


def index_folder(root: Path) -> FolderIndex:
    """List a folder of images.

    Raises:
        UserError: the folder is missing, or has no classes, one class, an empty class, two folders for one split, or a
            class in ``val`` or ``test`` that ``train`` does not have.
    """
    if not root.is_dir():
        raise UserError(f"data.root is {str(root)!r}, which is not a folder. Expected {LAYOUTS}.")
    folders = split_folders(root)
    class_names = [folder.name for folder in subfolders(folders["train"])]
    require_classes(folders["train"], class_names)
    files = {split: label_files(folder, class_names, split) for split, folder in folders.items()}
    return FolderIndex(root, class_names, files)


def split_folders(root: Path) -> dict[Split, Path]:
    """The folder of each split; the root itself is ``train`` where there are no split folders."""
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


def require_classes(folder: Path, class_names: list[str]) -> None:
    if len(class_names) < 2:
        found = f"only the class {class_names[0]!r}" if class_names else "no class folders"
        raise UserError(f"{str(folder)!r} has {found}; a classifier needs at least 2. Expected {LAYOUTS}.")
    for name in class_names:
        if not any(image_files(folder / name)):
            raise UserError(
                f"class {name!r} has no images: {str(folder / name)!r} is empty or holds other files. "
                f"Add images ({', '.join(sorted(image_extensions()))}) or remove the folder."
            )


def label_files(folder: Path, class_names: list[str], split: Split) -> list[tuple[Path, int]]:
    """Files of one split, classes matched by name, never by position."""
    extra = [found.name for found in subfolders(folder) if found.name not in class_names]
    if extra:
        raise UserError(
            f"{split} has classes that train does not have: {extra}. Classes of train: {class_names}. "
            f"Rename or remove the folders in {str(folder)!r}, or add the classes to train."
        )
    files = [(path, label) for label, name in enumerate(class_names) for path in image_files(folder / name)]
    if not files:
        raise UserError(f"{str(folder)!r} holds no images. Add some, or remove it: {split} is then carved from train.")
    return files


def subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def image_files(folder: Path) -> list[Path]:
    """Image files at any depth, sorted; hidden files and other kinds of files are passed over.

    A link to nothing is not: it is found unreadable when it is opened.
    """
    return list(images_below(folder))


def images_below(folder: Path) -> Iterator[Path]:
    """As ``image_files``, one after the other: of a million, only the names of one folder are in memory."""
    extensions = image_extensions()
    return (file for file in files_below(folder) if file.suffix.lower() in extensions)


def files_below(folder: Path) -> Iterator[Path]:
    """Files at any depth that are not hidden, sorted; linked folders are followed, each folder once."""
    return walk(folder, visited=set())


def walk(folder: Path, visited: set[str]) -> Iterator[Path]:
    """``os.walk`` in the order of paths, which sorts the content of a folder among the files beside it."""
    visited.add(os.path.realpath(folder))
    _, folders, files = next(os.walk(folder), ("", [], []))
    is_folder = dict.fromkeys(files, False) | dict.fromkeys(folders, True)
    for name in sorted(name for name in is_folder if not name.startswith(".")):
        path = folder / name
        if not is_folder[name]:
            yield path
        elif os.path.realpath(path) not in visited:
            yield from walk(path, visited)


def image_extensions() -> set[str]:
    """Extensions of the formats that Pillow can open; PDF, PostScript and video are no photographs."""
    known = Image.registered_extensions()
    return {ext for ext, fmt in known.items() if fmt in Image.OPEN and fmt not in {"PDF", "EPS", "MPEG", "HDF5"}}
