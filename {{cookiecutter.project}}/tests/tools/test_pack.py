"""A folder of images in chunks: what is in them, what a second call does, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import ImageFolderDataModule
from {{cookiecutter.package}}.engine.splits import SPLITS
from {{cookiecutter.package}}.engine.streaming.format import Description, Names, read_description
from {{cookiecutter.package}}.engine.streaming.stores import FolderStore

from ..object_server import ObjectServer, running_server

server = pytest.fixture(running_server)

SMALL = ["--chunk_megabytes", "0.004"]  # two to six images each


def pack(*options: object) -> None:
    main(["pack", *map(str, options)])


def error_of(capsys: pytest.CaptureFixture[str], *options: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        pack(*options)
    assert ended.value.code == 2
    return capsys.readouterr().err


def described(out: Path) -> Description:
    return read_description(FolderStore(out))


def chunks(out: Path) -> dict[str, tuple[int, bytes]]:
    """Time of writing and content of each chunk."""
    return {str(file.relative_to(out)): (file.stat().st_mtime_ns, file.read_bytes()) for file in out.rglob("*.bin")}


def test_holds_the_files_as_they_are_with_their_splits(photos: Path, workspace: Path) -> None:
    pack(photos, "out", *SMALL)
    found, folder = described(workspace / "out"), ImageFolderDataModule(str(photos))
    assert (found.class_names, found.split_hash) == (["blue", "green", "red"], folder.split_hash)
    assert {split: packed.num_images for split, packed in found.splits.items()} == {"train": 43, "val": 8, "test": 9}
    assert sum(found.splits["train"].counts) == 43
    litdata = pytest.importorskip("litdata")
    for split in SPLITS:
        names = Names((workspace / "out" / split / "names.txt").read_bytes)
        assert set(names) == set(folder.split(split).names)
        items = litdata.StreamingDataset(str(workspace / "out" / split))  # litdata itself can read it
        for name, (content, label) in zip(names, [items[i] for i in range(len(items))], strict=True):
            assert bytes(content) == (photos / name).read_bytes()
            assert found.class_names[label] == name.split("/")[0]


def test_every_chunk_of_train_holds_several_classes(photos: Path, workspace: Path) -> None:
    pack(photos, "out", "--chunk_megabytes", "0.015")
    rows = json.loads((workspace / "out/train/index.json").read_text())["chunks"]
    labels = np.load(workspace / "out/train/labels.npy")
    parts = np.split(labels, np.cumsum([row["chunk_size"] for row in rows])[:-1])
    assert len(rows) > 2
    assert all(len(set(part.tolist())) > 1 for part in parts if len(part) > 5)


def test_a_manifest(photos: Path, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["split", str(photos), "--output", "splits.csv", "--val_fraction", "0.3"])
    pack(photos, "out", "--splits", "splits.csv")
    folder = ImageFolderDataModule(str(photos), splits="splits.csv")
    assert described(workspace / "out").split_hash == folder.split_hash
    assert "'nowhere.csv' cannot be read: No such file" in error_of(capsys, photos, "other", "--splits", "nowhere.csv")


def test_a_second_call_writes_what_is_missing_or_damaged(
    photos: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(photos, "out", *SMALL)
    before = chunks(workspace / "out")
    (workspace / "out/train/chunk-0-2.bin").unlink()
    damaged = workspace / "out/val/chunk-0-0.bin"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    (workspace / "out/dataset.json").unlink()
    capsys.readouterr()
    pack(photos, "out", *SMALL)
    after = chunks(workspace / "out")
    assert f"{len(before) - 2} of them existed before" in capsys.readouterr().out
    assert {name: content for name, (_, content) in after.items()} == {name: old for name, (_, old) in before.items()}
    written = {name for name in after if after[name][0] != before[name][0]}
    assert written == {"train/chunk-0-2.bin", "val/chunk-0-0.bin"}


def test_killed_and_called_again(photos: Path, workspace: Path) -> None:
    command = [sys.executable, "-m", "{{cookiecutter.package}}", "pack"]
    command += [str(photos), "out", "--workers", "1", *SMALL]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (workspace / "out/train/parts/1.json").exists():
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = chunks(workspace / "out")
    assert not (workspace / "out/dataset.json").exists()
    pack(photos, "out", *SMALL)
    pack(photos, "whole", *SMALL)
    after, whole = chunks(workspace / "out"), chunks(workspace / "whole")
    assert {name: content for name, (_, content) in after.items()} == {name: c for name, (_, c) in whole.items()}
    recorded = [f"train/chunk-0-{number}.bin" for number in range(2)]
    assert all(after[name][0] == kept[name][0] for name in recorded)
    assert (workspace / "out/dataset.json").read_text() == (workspace / "whole/dataset.json").read_text()


def test_smaller_jpegs(photos: Path, workspace: Path) -> None:
    pack(photos, "out", "--image_size", "18", "--quality", "60")
    litdata = pytest.importorskip("litdata")
    items = litdata.StreamingDataset(str(workspace / "out/train"))
    for i in range(len(items)):
        image = Image.open(BytesIO(bytes(items[i][0])))
        assert (image.format, min(image.size)) == ("JPEG", 18)


def test_unreadable_images_stop_or_are_left_out(
    photos: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("red/image 1.jpg", "blue/image 5.jpg"):
        (photos / name).write_bytes(b"no image")
    message = error_of(capsys, photos, "out", *SMALL)
    assert "2 of 60 images cannot be read" in message
    assert "red/image 1.jpg" in message
    assert "--unreadable skip" in message
    assert not (workspace / "out/dataset.json").exists()
    kept = chunks(workspace / "out")
    assert kept
    pack(photos, "out", *SMALL, "--unreadable", "skip")
    found = described(workspace / "out")
    assert set(found.unreadable) == {"red/image 1.jpg", "blue/image 5.jpg"}
    assert sum(split.num_images for split in found.splits.values()) == 58
    assert found.split_hash == ImageFolderDataModule(str(photos), image_size=16, unreadable="skip").split_hash
    after = chunks(workspace / "out")
    assert all(after[name][0] == time_ns for name, (time_ns, _) in kept.items())


def test_out_holds_something_else(photos: Path, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "full").mkdir()
    (workspace / "full/thesis.tex").write_text("all of it")
    assert "OUT is 'full', which holds other files" in error_of(capsys, photos, "full")
    assert (workspace / "full/thesis.tex").read_text() == "all of it"
    assert "OUT is 'full/thesis.tex', which is a file" in error_of(capsys, photos, "full/thesis.tex")
    pack(photos, "out")
    assert "packed from other images, splits or settings" in error_of(capsys, photos, "out", "--split_seed", "1")
    pack(photos, "out", "--split_seed", "1", "--overwrite")
    assert described(workspace / "out").split_hash == ImageFolderDataModule(str(photos), split_seed=1).split_hash
    assert "which is inside" in error_of(capsys, photos, photos / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chunk_megabytes", "0"], "--chunk_megabytes is 0.0; it must be above 0"),
        (["--workers", "0"], "--workers is 0; it must be a whole number from 1"),
        (["--image_size", "-4"], "--image_size is -4; it must be a whole number from 1"),
        (["--decoded"], "--decoded needs --image_size"),
        (["--quality", "80"], "--quality is 80; it needs --image_size, and cannot be given with --decoded"),
        (["--image_size", "8", "--quality", "101"], "--quality is 101"),
    ],
)
def test_wrong_options(photos: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    assert message in error_of(capsys, photos, "out", *options)


def test_no_such_folder_and_no_such_scheme(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'nowhere', which is not a folder" in error_of(capsys, "nowhere", "out")
    assert "'ftp://host/x' cannot be a packed data set" in error_of(capsys, photos, "ftp://host/x")
    assert "'s3://' cannot be a packed data set" in error_of(capsys, photos, "s3://")


def test_without_litdata(photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litdata", None)
    assert "litdata is not installed" in error_of(capsys, photos, "out")


def test_to_a_bucket(photos: Path, workspace: Path, server: ObjectServer, capsys: pytest.CaptureFixture[str]) -> None:
    pack(photos, "out", *SMALL)
    pack(photos, "s3://photos/all", *SMALL)
    folder = {f"all/{file.relative_to('out')}": file.read_bytes() for file in Path("out").rglob("*") if file.is_file()}
    assert server.names() == set(folder)
    server.client.delete_object(Bucket="photos", Key="all/val/chunk-0-0.bin")
    capsys.readouterr()
    pack(photos, "s3://photos/all", *SMALL)
    assert f"{len(chunks(workspace / 'out')) - 1} of them existed before" in capsys.readouterr().out
    for name, content in folder.items():
        assert server.client.get_object(Bucket="photos", Key=name)["Body"].read() == content


def test_no_such_bucket_and_a_bucket_with_other_files(
    photos: Path, server: ObjectServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no such bucket: s3://nowhere/all" in error_of(capsys, photos, "s3://nowhere/all")
    server.client.put_object(Bucket="photos", Key="all/other.txt", Body=b"1")
    assert "OUT is 's3://photos/all', which holds other files" in error_of(capsys, photos, "s3://photos/all")
