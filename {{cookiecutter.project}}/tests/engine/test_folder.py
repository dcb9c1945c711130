from pathlib import Path

import pytest

from {{cookiecutter.package}}.data import ImageFolderDataModule
from {{cookiecutter.package}}.engine.folder import ManifestRow, index_folder, read_manifest, write_manifest
from {{cookiecutter.package}}.engine.splits import SPLITS, Split
from {{cookiecutter.package}}.errors import UserError

HEADING = "path,class,split,digest,group\n"


def rows_of(photos: Path) -> list[ManifestRow]:
    """Of each class the first 14 images for training, three for validation and three for the test."""
    order: list[Split] = [*["train"] * 14, *["val"] * 3, *["test"] * 3]  # type: ignore[list-item]
    index = index_folder(photos)
    files = index.all_files()
    return [
        ManifestRow(file.relative_to(photos).as_posix(), index.class_names[label], order[position % 20], "0" * 32)
        for position, (file, label) in enumerate(files)
    ]


def module(photos: Path, **arguments: object) -> ImageFolderDataModule:
    return ImageFolderDataModule(str(photos), image_size=16, cache="memory", **arguments)  # type: ignore[arg-type]


def test_written_rows_are_read_again_sorted(tmp_path: Path) -> None:
    rows = [
        ManifestRow("b/ü, 2.jpg", "b", "test", "ff", "patient 7"),
        ManifestRow('a/"1".jpg', "a", "train", "00"),
    ]
    write_manifest(tmp_path / "splits.csv", rows)
    assert read_manifest(tmp_path / "splits.csv") == rows[::-1]
    assert (tmp_path / "splits.csv").read_text(encoding="utf-8").startswith(HEADING)


def test_a_manifest_in_the_folder_decides(photos: Path) -> None:
    rows = rows_of(photos)
    write_manifest(photos / "splits.csv", rows)
    data = module(photos)
    for split in SPLITS:
        assert list(data.split(split).names) == [row.path for row in rows if row.split == split]


def test_a_manifest_elsewhere_wins(photos: Path, workspace: Path) -> None:
    rows = rows_of(photos)
    write_manifest(photos / "splits.csv", rows)
    swapped: dict[Split, Split] = {"train": "test", "val": "val", "test": "train"}
    write_manifest(workspace / "mine.csv", [ManifestRow(r.path, r.class_name, swapped[r.split], "") for r in rows])
    assert len(module(photos, splits=str(workspace / "mine.csv")).split("test")) == 42


def test_split_hash_follows_the_manifest(photos: Path) -> None:
    rows = rows_of(photos)
    write_manifest(photos / "splits.csv", rows)
    before = module(photos).split_hash
    write_manifest(photos / "splits.csv", [*rows[:-1], ManifestRow(rows[-1].path, "red", "train", "0" * 32)])
    assert module(photos).split_hash != before


def test_new_and_missing_images_are_named(photos: Path) -> None:
    write_manifest(photos / "splits.csv", rows_of(photos))
    (photos / "red" / "image 1.jpg").rename(photos / "red" / "renamed.jpg")
    with pytest.raises(UserError, match=r"1 missing \(red/image 1.jpg\).*1 new \(red/renamed.jpg\)"):
        module(photos).split("train")


def test_another_class_is_named(photos: Path) -> None:
    rows = rows_of(photos)
    write_manifest(photos / "splits.csv", [ManifestRow(rows[0].path, "red", "train", ""), *rows[1:]])
    with pytest.raises(UserError, match=r"differ in the class of blue/image 0.png"):
        module(photos).split("train")


def test_an_empty_split_is_named(photos: Path) -> None:
    write_manifest(photos / "splits.csv", [ManifestRow(r.path, r.class_name, "train", "") for r in rows_of(photos)])
    with pytest.raises(UserError, match="no image in val, test"):
        module(photos).split("train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"has no column 'path'; its columns are none"),
        (f"{HEADING}a/1.jpg,a,holdout,,\n", "row 2: split is 'holdout'; it must be train, val or test"),
        (f"{HEADING}a/1.jpg,a,train\n", "row 2, has 3 cells, and the heading has 5"),
        (f"{HEADING}a/1.jpg,a,train,zz,\n", "row 2: digest is 'zz'"),
        (f"{HEADING}a/1.jpg,a,train,,\na/1.jpg,a,val,,\n", "lists a/1.jpg more than once"),
    ],
)
def test_wrong_files_are_explained(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "splits.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path / "splits.csv")


def test_missing_and_binary_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv.*No such file"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "splits.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a CSV file in UTF-8"):
        read_manifest(tmp_path / "splits.csv")
