import os
import shutil
from pathlib import Path

import pytest
import torch

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import ImageFolderDataModule
from {{cookiecutter.package}}.data.content import digest_of
from {{cookiecutter.package}}.data.file_digests import FileDigests


@pytest.fixture
def files(photos: Path) -> list[Path]:
    return sorted(photos.rglob("*.*"))


def expected(files: list[Path]) -> dict[Path, str]:
    return {file: digest_of(file.read_bytes()) for file in files}


def replace_unseen(file: Path, other: Path) -> None:
    """Give a file the content of another, padded to one size, without changing its size or modification time."""
    stat = file.stat()
    content = other.read_bytes()[: stat.st_size]
    file.write_bytes(content + bytes(stat.st_size - len(content)))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("folder", [None, Path("cache")])
def test_digests_of_content(files: list[Path], folder: Path | None) -> None:
    digests = FileDigests(folder)
    assert digests.of(files) == expected(files)
    shutil.copy(files[0], files[-1])
    assert digests.of(files) == expected(files)
    assert Path("cache").exists() == (folder is not None)


def test_a_file_that_is_known_is_not_read_again(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    FileDigests(Path("cache")).of(files)
    monkeypatch.setattr("{{cookiecutter.package}}.data.file_digests.NUM_CHECKED", 0)
    monkeypatch.setattr(Path, "read_bytes", lambda file: pytest.fail(f"{file} is read"))
    assert len(FileDigests(Path("cache")).of(files)) == 60


def test_a_sample_shows_that_size_and_time_lie(files: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    FileDigests(Path("cache")).of(files)
    for file, other in zip(files[:40], files[20:], strict=False):  # of a sample of 32 from 60, one at least is there
        replace_unseen(file, other)
    assert FileDigests(Path("cache")).of(files) == expected(files)
    assert "has changed, but not its size and modification time" in caplog.text


def test_cached_images_follow_the_content(photos: Path) -> None:
    def first_image() -> tuple[Path, torch.Tensor]:
        split = ImageFolderDataModule(str(photos), image_size=16).split("train")
        return photos / split.names[0], split.images[torch.tensor([0])]

    file, before = first_image()
    shutil.copy(next(photos.glob(f"red/*{file.suffix}")), file)
    assert not torch.equal(first_image()[1], before)


def test_audit_reads_every_file(photos: Path, files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    FileDigests(Path("data/cache")).of(files)
    replace_unseen(files[0], files[40])
    with pytest.raises(SystemExit):
        main(["audit", str(photos)])
    assert "stale cache" in capsys.readouterr().out
    assert FileDigests(Path("data/cache")).of(files) == expected(files)


def test_a_damaged_index_is_written_anew(files: list[Path]) -> None:
    FileDigests(Path("cache")).of(files)
    Path("cache/digests.csv").write_text("nonsense")
    assert FileDigests(Path("cache")).of(files) == expected(files)


def test_a_file_that_cannot_be_read_has_a_digest_too(files: list[Path]) -> None:
    gone = files[0].with_name("gone.jpg")
    assert len(set(FileDigests(Path("cache")).of([*files, gone]).values())) == 61
