import logging
import shutil
from pathlib import Path

import pytest

from {{cookiecutter.package}}.data import ImageFolderDataModule
from {{cookiecutter.package}}.errors import UserError


def split_by_folder(photos: Path, *names: str) -> None:
    """Move the classes into ``train`` and copy two images of each into the other split folders."""
    classes = sorted(photos.iterdir())
    for folder in classes:
        shutil.move(folder, photos / "train" / folder.name)
        for name in names:
            (photos / name / folder.name).mkdir(parents=True)
            for file in sorted((photos / "train" / folder.name).iterdir())[:2]:
                shutil.copy(file, photos / name / folder.name / f"{name} {file.name}")


def module(photos: Path, **arguments: object) -> ImageFolderDataModule:
    return ImageFolderDataModule(str(photos), image_size=16, **arguments)  # type: ignore[arg-type]


def test_carves_what_is_missing_and_says_so(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        data = module(photos)
        assert [len(data.split(split)) for split in ("train", "val", "test")] == [43, 8, 9]
    assert "no test folder: carved 9 of 60 training images" in caplog.text
    assert "no val folder: carved 8 of 51 training images" in caplog.text


def test_folders_of_splits_are_kept(photos: Path) -> None:
    split_by_folder(photos, "valid", "test")
    data = module(photos)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [60, 6, 6]
    assert all(name.startswith("test/") for name in data.split("test").names)


def test_classes_are_matched_by_name(photos: Path) -> None:
    split_by_folder(photos, "val", "test")
    shutil.rmtree(photos / "test" / "blue")
    data = module(photos)
    assert data.facts.class_names == ["blue", "green", "red"]
    assert set(data.split("test").labels.tolist()) == {1, 2}


def test_facts_need_no_decoding(photos: Path) -> None:
    (photos / "red" / "broken.jpg").write_text("no image")
    assert module(photos, num_channels=1).facts.mean == pytest.approx([0.449])


def test_other_files_are_passed_over(photos: Path) -> None:
    (photos / ".git").mkdir()
    (photos / "red" / ".hidden.jpg").write_text("")
    (photos / "red" / "notes.txt").write_text("")
    (photos / "red" / "Thumbs.db").write_text("")
    (photos / "notes.txt").write_text("")
    assert len(module(photos).index.files["train"]) == 60


def test_nested_folders_upper_case_and_odd_names(photos: Path) -> None:
    nested = photos / "red" / "session 2"
    nested.mkdir()
    shutil.copy(photos / "red" / "image 0.png", nested / "café ☕.PNG")
    names = [path.name for path, _ in module(photos).index.files["train"]]
    assert "café ☕.PNG" in names


@pytest.mark.parametrize("unreadable", ["error", "skip"])
def test_unreadable_image(photos: Path, unreadable: str, caplog: pytest.LogCaptureFixture) -> None:
    for folder in photos.iterdir():
        (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    data = module(photos, unreadable=unreadable)
    if unreadable == "error":
        with pytest.raises(UserError, match=r"broken\.jpg.*--data\.unreadable skip"):
            data.setup("fit")
    else:
        data.setup("fit")
        assert sum(len(data.split(split)) for split in ("train", "val", "test")) == 60
        assert "broken.jpg" in caplog.text


def test_unreadable_image_that_is_only_decoded_in_training(photos: Path) -> None:
    for file in sorted((photos / "red").iterdir()):
        file.write_text(f"no image {file.name}")
    data = module(photos, cache="none")
    with pytest.raises(UserError, match=r"photos/red/.* cannot be read.*--data\.cache auto"):
        list(data.train_dataloader())


def test_missing_folder(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root is .*nowhere.*not a folder.*ROOT/<class>"):
        _ = module(workspace / "nowhere").facts


def test_no_classes(photos: Path) -> None:
    with pytest.raises(UserError, match=r"photos/red.* has no class folders"):
        _ = module(photos / "red").facts


def test_single_class(photos: Path) -> None:
    shutil.rmtree(photos / "red")
    shutil.rmtree(photos / "blue")
    with pytest.raises(UserError, match="only the class 'green'"):
        _ = module(photos).facts


def test_empty_class(photos: Path) -> None:
    (photos / "yellow").mkdir()
    with pytest.raises(UserError, match="class 'yellow' has no images"):
        _ = module(photos).facts


def test_class_that_train_does_not_have(photos: Path) -> None:
    split_by_folder(photos, "test")
    (photos / "test" / "red").rename(photos / "test" / "rde")
    with pytest.raises(UserError, match=r"test has classes that train does not have: \['rde'\].*'red'"):
        _ = module(photos).facts


def test_split_folders_without_train(photos: Path) -> None:
    split_by_folder(photos, "test")
    shutil.rmtree(photos / "train")
    with pytest.raises(UserError, match="no train"):
        _ = module(photos).facts


def test_two_folders_for_one_split(photos: Path) -> None:
    split_by_folder(photos, "val", "valid")
    with pytest.raises(UserError, match="two folders for val: 'val' and 'valid'"):
        _ = module(photos).facts


def test_class_too_small_to_split(photos: Path) -> None:
    for file in sorted((photos / "red").iterdir())[1:]:
        file.unlink()
    with pytest.raises(UserError, match="class 'red' has 1 of 41 images, and 3 are needed"):
        module(photos).split("train")
