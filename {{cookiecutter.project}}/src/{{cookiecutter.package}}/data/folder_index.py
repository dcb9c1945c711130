"""Lists the image files of a folder with their classes, without opening them."""

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
LAYOUTS = "ROOT/<class>/* or ROOT/train/<class>/* (optionally with val/ and test/ next to train/)"


@dataclass(frozen=True)
class FolderIndex:
    """Files and labels of a folder.

    Attributes:
        root: the folder.
        class_names: names of the class folders of the training split, sorted; a name's position is its label.
        files: for each split that has a folder (only ``train`` without split folders), its image files, sorted, each
            with its label.
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
    """Files of one split with their labels; classes are matched by name, not by position."""
    extra = [found.name for found in subfolders(folder) if found.name not in class_names]
    if extra:
        raise UserError(
            f"{split} has classes that train does not have: {extra}. Classes in train: {class_names}. "
            f"Rename or remove the folders in {str(folder)!r}, or add the classes to train."
        )
    files = [(path, label) for label, name in enumerate(class_names) for path in image_files(folder / name)]
    if not files:
        raise UserError(f"{str(folder)!r} has no images. Add images, or remove the folder to carve {split} from train.")
    return files


def subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def image_files(folder: Path) -> list[Path]:
    """Image files at any depth, sorted; hidden files and other kinds of files are skipped.

    Broken links are included, so that they are reported as unreadable later.
    """
    return list(images_below(folder))


def images_below(folder: Path) -> Iterator[Path]:
    """Like ``image_files``, as an iterator that holds the names of only one folder in memory."""
    extensions = image_extensions()
    return (file for file in files_below(folder) if file.suffix.lower() in extensions)


def files_below(folder: Path) -> Iterator[Path]:
    """Files at any depth that are not hidden, sorted; linked folders are followed, each folder once."""
    return walk(folder, visited=set())


def walk(folder: Path, visited: set[str]) -> Iterator[Path]:
    """Like ``os.walk``, but in path order: files and folders are sorted together."""
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
    """Extensions of the formats that Pillow can open, without PDF, PostScript and video."""
    known = Image.registered_extensions()
    return {ext for ext, fmt in known.items() if fmt in Image.OPEN and fmt not in {"PDF", "EPS", "MPEG", "HDF5"}}
