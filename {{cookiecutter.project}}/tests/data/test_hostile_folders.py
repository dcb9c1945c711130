"""Folders and files as they come: each is read right, or refused in one sentence."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import ImageFolderDataModule

from ..conftest import COLOURS, whole, write_images

BLUE = COLOURS["blue"]
Change = Callable[[Path], object]


def picture(size: tuple[int, int] = (30, 24), mode: str = "RGB") -> Image.Image:
    return Image.new("RGB", size, BLUE).convert(mode)


def rename(old: str, new: str) -> Change:
    return lambda root: (root / old).rename(root / new)


def add(name: str, size: tuple[int, int] = (30, 24), mode: str = "RGB", **options: object) -> Change:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(size, mode).save(root / name, **options)  # type: ignore[arg-type]

    return change


def move_out(name: str) -> Change:
    return lambda root: (root / name).rename(root.parent / name)


def link(name: str, target: str) -> Change:
    return lambda root: (root / name).symlink_to((root / target).resolve())


def write(name: str, content: bytes) -> Change:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)

    return change


def split_folders(*names: str) -> Change:
    """Move the classes into the first folder, and write two images of each class into the others."""

    def change(root: Path) -> None:
        classes = sorted(root.iterdir())
        (root / names[0]).mkdir()
        for folder in classes:
            folder.rename(root / names[0] / folder.name)
            for name in names[1:]:
                write_images(root / name / folder.name, 2, BLUE)

    return change


def both(*changes: Change) -> Change:
    return lambda root: [change(root) for change in changes]


def animation(root: Path) -> None:
    frames = [picture(), picture()]
    frames[0].save(root / "blue" / "moving.gif", save_all=True, append_images=frames[1:])


def cut(root: Path) -> None:
    file = root / "blue" / "image 1.jpg"
    file.write_bytes(file.read_bytes()[:400])


def sixteen_bits(root: Path) -> None:
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(root / "blue" / "deep.png")


def floats(root: Path) -> None:
    Image.fromarray(np.zeros((20, 20), np.float32)).save(root / "blue" / "float.tiff")


def only_one_left(root: Path) -> None:
    for file in sorted((root / "blue").iterdir())[1:]:
        file.unlink()


def itself(root: Path) -> None:
    (root / "blue" / "again").symlink_to(root / "blue", target_is_directory=True)


# The number is that of all images, of which the folder has 60 at first.
READ = {
    "spaces in names": (rename("blue", "dark blue"), 60),
    "unicode in names": (both(rename("blue", "mørk blå 藍"), add("red/été.jpg")), 61),
    "markup in names": (rename("blue", "[red]"), 60),
    "quotes and commas in names": (both(rename("blue", "b,l\"u'e"), add('red/a,"b.jpg')), 61),
    "line break in a name": (add("red/a\nb.jpg"), 61),
    "upper-case extension": (add("blue/UPPER.JPG"), 61),
    "nested folders": (add("blue/2024/may/deep.jpg"), 61),
    "files of systems": (both(write("blue/.DS_Store", b"?"), write("blue/Thumbs.db", b"?")), 60),
    "hidden image": (write("blue/._image.jpg", b"?"), 60),
    "hidden folder": (add("blue/.cache/thumb.jpg"), 60),
    "hidden class": (add(".git/thumb.jpg"), 60),
    "notes beside images": (both(write("blue/notes.txt", b"?"), write("readme.md", b"?")), 60),
    "folder named like an image": (lambda root: (root / "blue" / "folder.jpg").mkdir(), 60),
    "linked image": (link("blue/linked.jpg", "blue/image 1.jpg"), 61),
    "linked folder": (link("blue/more", "red"), 80),
    "folder linked to itself": (itself, 60),
    "CMYK": (add("blue/print.jpg", mode="CMYK"), 61),
    "alpha": (add("blue/alpha.png", mode="RGBA"), 61),
    "palette": (add("blue/palette.png", mode="P"), 61),
    "palette with transparency": (add("blue/hole.gif", mode="P", transparency=0), 61),
    "one bit": (add("blue/fax.tiff", mode="1"), 61),
    "sixteen bits": (sixteen_bits, 61),
    "animation": (animation, 61),
    "one pixel": (add("blue/dot.png", (1, 1)), 61),
    "a line": (add("blue/line.png", (2000, 1)), 61),
    "upper-case split folders": (split_folders("Train", "VAL", "Test"), 72),
    "other name of val": (split_folders("train", "validation"), 66),
}

REFUSED = {
    "empty file": (write("blue/empty.jpg", b""), r"1 of \d+ .* cannot be read: .*empty\.jpg"),
    "truncated file": (cut, r"image 1\.jpg.*[Tt]runcated"),
    "text named like an image": (write("blue/text.jpg", b"no image"), r"text\.jpg.*cannot identify"),
    "link to nothing": (link("blue/gone.jpg", "nowhere.jpg"), r"gone\.jpg.*No such file"),
    "floats": (floats, r"float\.tiff.*no defined range"),
    "empty class": (lambda root: (root / "nothing").mkdir(), "class 'nothing' has no images"),
    "class of other files": (write("notes/a.txt", b"?"), "class 'notes' has no images"),
    "class of one image": (only_one_left, "class 'blue' has 1 of 41 images, and 3 are needed"),
    "one class": (both(move_out("red"), move_out("green")), "only the class 'blue'"),
    "no class": (both(*map(move_out, COLOURS)), "has no class folders"),
    "class that train lacks": (
        both(split_folders("train", "val"), add("val/violet/1.jpg")),
        r"val has classes that train does not have: \['violet'\]",
    ),
    "two folders for val": (split_folders("train", "val", "valid"), "has two folders for val"),
    "no train": (split_folders("val", "test"), "but no train"),
    "empty split": (both(split_folders("train"), lambda root: (root / "test").mkdir()), "has no images"),
}


@pytest.mark.parametrize("cache", ["disk", "memory"])
@pytest.mark.parametrize("case", READ)
def test_read(photos: Path, case: str, cache: str) -> None:
    change, num_images = READ[case]
    change(photos)
    data = ImageFolderDataModule(str(photos), image_size=12, cache=cache)  # type: ignore[arg-type]
    splits = [data.split(split) for split in ("train", "val", "test")]
    assert sum(map(len, splits)) == num_images
    assert len(data.facts.class_names) == 3
    for split in splits:
        images = whole(split)
        assert images.shape == (len(split), 3, 12, 12)
        for name, label in zip(split.names, split.labels.tolist(), strict=True):
            assert data.facts.class_names[label] in name.split("/")  # from the folder it is in


@pytest.mark.parametrize("case", REFUSED)
def test_refused(photos: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    change, message = REFUSED[case]
    change(photos)
    options = ["--data", "ImageFolderDataModule", "--data.root", str(photos), "--data.image_size", "12"]
    with pytest.raises(SystemExit) as stop:
        main(["fit", *options, "--model", "MLPClassifier", "--tracking.wandb", "off"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert "Traceback" not in error


def test_root_is_a_file(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "photos").write_text("?")
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--data", "ImageFolderDataModule", "--data.root", "photos", "--model", "MLPClassifier"])
    assert stop.value.code == 2
    assert "'photos', which is not a folder" in capsys.readouterr().err
