import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import ImageFolderDataModule
from {{cookiecutter.package}}.engine.image_cache import FileDigests, ImageCache
from {{cookiecutter.package}}.engine.splits import digest_of
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.predictor import Decoding

DECODING = Decoding(16, 3, "crop")


@pytest.fixture
def files(photos: Path) -> list[Path]:
    return sorted(photos.rglob("*.*"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one at each image that is decoded."""
    calls: list[int] = []
    decode = Decoding.decode

    def counted(self: Decoding, file: Path) -> np.ndarray:
        calls.append(1)
        return decode(self, file)

    monkeypatch.setattr(Decoding, "decode", counted)
    return calls


def open_cache(folder: Path, files: list[Path]) -> torch.Tensor:
    images, failures = ImageCache(folder, DECODING).open(files, FileDigests(folder).of(files), "decoding")
    assert failures == {}
    return images.load()


def expected(files: list[Path]) -> torch.Tensor:
    return torch.from_numpy(np.stack([DECODING.decode(file) for file in files])).permute(0, 3, 1, 2)


def test_serves_what_decoding_gives_in_any_order(workspace: Path, files: list[Path]) -> None:
    open_cache(workspace / "cache", files)
    backwards = files[::-1]
    images, _ = ImageCache(workspace / "cache", DECODING).open(backwards, FileDigests(None).of(files), "decoding")
    assert torch.equal(images.load(), expected(backwards))
    index = torch.tensor([5, 0, 5])
    assert torch.equal(images[index], expected(backwards)[index])


def test_decodes_only_what_is_new_or_changed(workspace: Path, files: list[Path], decoded: list[int]) -> None:
    open_cache(workspace / "cache", files[:50])
    assert len(decoded) == 50
    open_cache(workspace / "cache", files)
    assert len(decoded) == 60
    shutil.copy(files[0], files[-1])  # its content has been decoded already
    os.utime(files[5], ns=(1, 1))  # touched, and the same content
    files[7].write_bytes(files[7].read_bytes() + b"\0")  # other content, of the same pixels
    before = len(decoded)
    images = open_cache(workspace / "cache", files)
    assert len(decoded) - before == 1
    assert torch.equal(images, expected(files))


def test_another_size_is_another_cache(workspace: Path, files: list[Path]) -> None:
    open_cache(workspace / "cache", files)
    ImageCache(workspace / "cache", Decoding(8, 1, "pad")).open(files, FileDigests(None).of(files), "decoding")
    assert len(list((workspace / "cache").glob("*px-*"))) == 2
    assert torch.equal(open_cache(workspace / "cache", files), expected(files))


@pytest.mark.parametrize("damage", ["cut", "changed", "index cut", "index changed", "images gone"])
def test_damage_is_noticed_and_mended(
    workspace: Path, files: list[Path], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    open_cache(workspace / "cache", files)
    cache = ImageCache(workspace / "cache", DECODING)
    damaged = cache.index if "index" in damage else cache.images
    content = bytearray(damaged.read_bytes())
    if damage == "images gone":
        damaged.unlink()
    elif "cut" in damage:
        damaged.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 3] ^= 1
        damaged.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(open_cache(workspace / "cache", files), expected(files))
    assert "is damaged" in caplog.text


def test_an_interrupted_process_leaves_what_it_decoded(
    workspace: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, decoded: list[int]
) -> None:
    decode = Decoding.decode

    def interrupted(self: Decoding, file: Path) -> np.ndarray:
        if len(decoded) == 25:
            raise KeyboardInterrupt
        return decode(self, file)

    with monkeypatch.context() as context:
        context.setattr(Decoding, "decode", interrupted)
        context.setattr(os, "cpu_count", lambda: 1)  # decoded in order
        with pytest.raises(KeyboardInterrupt):
            open_cache(workspace / "cache", files)
    images = ImageCache(workspace / "cache", DECODING).images
    assert images.stat().st_size == 25 * DECODING.num_bytes
    with images.open("ab") as stream:
        stream.write(b"half an image")  # of a process that was killed
    decoded.clear()
    assert torch.equal(open_cache(workspace / "cache", files), expected(files))
    assert len(decoded) == 35 + 60  # the others, and sixty to compare with


def test_an_old_cache_is_left_alone(workspace: Path, files: list[Path]) -> None:
    old = workspace / "cache" / "16px-3ch-crop" / "images.bin"  # where older versions wrote, with another index
    old.parent.mkdir(parents=True)
    old.write_bytes(b"images that a training of that version maps")
    (workspace / "cache" / "digests.csv").write_text("path,size,mtime_ns,digest\n")
    assert torch.equal(open_cache(workspace / "cache", files), expected(files))
    assert old.read_bytes() == b"images that a training of that version maps"


def test_processes_that_start_at_once_share_it(workspace: Path, files: list[Path]) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        images = pool.starmap(open_cache, [(workspace / "cache", files)] * 3)
    assert all(torch.equal(image, expected(files)) for image in images)
    assert ImageCache(workspace / "cache", DECODING).images.stat().st_size == 60 * DECODING.num_bytes


def test_a_full_disk_is_said_before_writing(
    workspace: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(workspace)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"0\.001 MB free, and 60 decoded images need.*--data\.cache none"):
        open_cache(workspace / "cache", files)


@pytest.mark.parametrize("cache", ["auto", "memory", "disk", "none"])
def test_every_kind_of_cache_serves_the_same_images(photos: Path, workspace: Path, cache: str) -> None:
    def images(**arguments: object) -> torch.Tensor:
        data = ImageFolderDataModule(str(photos), image_size=16, **arguments)  # type: ignore[arg-type]
        data.prepare_data()
        return torch.cat([batch[0] for batch in data.test_dataloader()])

    assert torch.equal(images(cache=cache), images(cache="memory"))
    assert (workspace / "data" / "cache").exists() == (cache in {"auto", "disk"})


def test_auto_holds_in_memory_what_fits_the_budget(photos: Path) -> None:
    def held(budget: float) -> bool:
        data = ImageFolderDataModule(str(photos), image_size=16, memory_budget_gb=budget)
        return isinstance(data.split("train").images, torch.Tensor)

    assert held(60 * DECODING.num_bytes / 1e9)
    assert not held(59 * DECODING.num_bytes / 1e9)


PRINT_PEAKS = """
import resource, sys
from pathlib import Path
import torch
from {{cookiecutter.package}}.data import ImageFolderDataModule
content = Path(sys.argv[1]).read_bytes()
for count in (400, 4000):
    root = Path(f"photos-{count}")
    for number in range(count):
        file = root / f"class {number % 4}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content + number.to_bytes(4, "big"))  # another file, the same pixels
    options = {"augmentation": "none", "cache": "disk", "cache_dir": f"cache-{count}"}
    data = ImageFolderDataModule(str(root), image_size=96, **options)
    data.prepare_data()
    assert sum(len(labels) for _, labels in data.train_dataloader()) > 0.6 * count
    assert Path(f"cache-{count}/crop-96px-3ch/images.bin").stat().st_size == count * 96 * 96 * 3
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the unit of ru_maxrss is another, or there is none")
@pytest.mark.usefixtures("workspace")
def test_memory_does_not_grow_with_the_folder(files: list[Path]) -> None:
    command = [sys.executable, "-c", PRINT_PEAKS, str(next(file for file in files if file.suffix == ".jpg"))]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    few, many = map(int, result.stdout.split())
    assert many - few < 20  # MB; the 3,600 images more take 100


def digests_of(files: list[Path]) -> dict[Path, str]:
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
    assert digests.of(files) == digests_of(files)
    shutil.copy(files[0], files[-1])
    assert digests.of(files) == digests_of(files)
    assert Path("cache").exists() == (folder is not None)


def test_a_file_that_is_known_is_not_read_again(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    FileDigests(Path("cache")).of(files)
    monkeypatch.setattr("{{cookiecutter.package}}.engine.image_cache.NUM_CHECKED", 0)
    monkeypatch.setattr(Path, "read_bytes", lambda file: pytest.fail(f"{file} is read"))
    assert len(FileDigests(Path("cache")).of(files)) == 60


def test_a_sample_shows_that_size_and_time_lie(files: list[Path], caplog: pytest.LogCaptureFixture) -> None:
    FileDigests(Path("cache")).of(files)
    for file, other in zip(files[:40], files[20:], strict=False):  # of a sample of 32 from 60, one at least is there
        replace_unseen(file, other)
    assert FileDigests(Path("cache")).of(files) == digests_of(files)
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
    assert FileDigests(Path("data/cache")).of(files) == digests_of(files)


def test_a_damaged_index_is_written_anew(files: list[Path]) -> None:
    FileDigests(Path("cache")).of(files)
    Path("cache/digests.json").write_text("nonsense")
    assert FileDigests(Path("cache")).of(files) == digests_of(files)


def test_a_file_that_cannot_be_read_has_a_digest_too(files: list[Path]) -> None:
    gone = files[0].with_name("gone.jpg")
    assert len(set(FileDigests(Path("cache")).of([*files, gone]).values())) == 61
