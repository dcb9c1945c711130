"""Files without permission, of the wrong kind, behind links, or used by two at once: one sentence, and nothing lost."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ..conftest import write_photos
from ..interruption import assert_same
from .campaign import Case, Outcome, ends, leftovers, try_case
from .conftest import CPU, DIGITS, OFF
from .disks import permissions_bind

# Streams and working directories.


@pytest.mark.skipif(os.name != "posix", reason="closes streams as shells of Unix do")
@pytest.mark.parametrize(
    ("command", "status"),
    [("{{cookiecutter.package}} --help >&- 2>&-", 0), ("{{cookiecutter.package}} split photos <&- >&-", 0)],
)
def test_closed_streams(command: str, status: int, tmp_path: Path, paths: Mapping[str, Path]) -> None:
    shutil.copytree(paths["photos"], tmp_path / "photos")
    words = ["sh", "-c", f"{shlex.quote(sys.executable)} -m {command}"]
    ended = subprocess.run(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (status, "")
    assert (tmp_path / "photos" / "splits.csv").exists() == ("split" in command)


@pytest.mark.skipif(os.name != "posix", reason="Windows removes no working directory")
def test_a_working_directory_that_was_removed(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    command = f"rmdir ../gone && {shlex.quote(sys.executable)} -m {{cookiecutter.package}} report last"
    ended = subprocess.run(["sh", "-c", command], cwd=tmp_path / "gone", capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "the working directory no longer exists" in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are not UTF-8")
def test_a_working_directory_that_is_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    words = ["fit", *DIGITS, *CPU, *OFF, "--trainer.max_epochs", "1", "--run.directory", "run"]
    ends(words, folder, status=0)
    assert json.loads((folder / "run" / "environment.json").read_text(encoding="utf-8"))


# Permissions, wrong kinds of files, and links. ``$photos`` is a copy, which a case may change.


def closed(name: str, mode: int = 0) -> Callable[[Path], None]:
    """Take permissions from a file or folder, which is created if it is missing."""

    def change(folder: Path) -> None:
        path = folder / name
        if not path.exists():
            path.write_text("") if path.suffix else path.mkdir(parents=True)
        path.chmod(mode)

    return change


READ_ONLY = 0o555
FIT_PHOTOS = "fit --data ImageFolderDataModule --data.root photos --data.image_size 8 --model MLPClassifier "
FIT_PHOTOS += "--trainer.fast_dev_run true --trainer.accelerator cpu --tracking.wandb off --report false"
IMAGE = "photos/red/image 10.jpg"  # of the training split
DENIED = "Permission denied. Change its permissions"

FORBIDDEN = [
    Case(FIT_PHOTOS, ["run.root is 'runs'", "cannot be written", DENIED], prepare=closed(".", READ_ONLY)),
    Case(FIT_PHOTOS, ["run.root is 'runs', where 'runs/image_folder_mlp'", DENIED], prepare=closed("runs", READ_ONLY)),
    Case(FIT_PHOTOS, ["data.cache_dir is 'data/cache'", DENIED], prepare=closed("data/cache", READ_ONLY)),
    Case(FIT_PHOTOS, ["1 of ", "images cannot be read", "Permission denied"], prepare=closed(IMAGE)),
    Case(FIT_PHOTOS, ["'photos/red' cannot be read or written", DENIED], prepare=closed("photos/red")),
    Case(FIT_PHOTOS, ["'photos/splits.csv' cannot be read: Permission denied"], prepare=closed("photos/splits.csv")),
    Case("audit photos", ["--output is 'audit'", DENIED], prepare=closed(".", READ_ONLY)),
    Case("audit photos", ["audit/audit."], prepare=closed("audit", READ_ONLY)),
    Case("audit photos --quarantine aside", ["'aside/quarantine.csv' cannot be"], prepare=closed("aside", READ_ONLY)),
    Case("split photos", ["photos/splits.csv'"], prepare=closed("photos", READ_ONLY)),
    Case("split photos", [f"'{IMAGE}' cannot be read", DENIED], prepare=closed(IMAGE)),
    Case("pack photos out", ["'out/packing.json' cannot be written", DENIED], prepare=closed("out", READ_ONLY)),
    Case("predict --ckpt $run photos", ["'photos/red' cannot be read", DENIED], prepare=closed("photos/red")),
    Case(f"predict --ckpt $run '{IMAGE}'", ["1 of 1 failed", "Permission denied"], 1, closed(IMAGE)),
    Case("predict --ckpt $run list.csv", ["'list.csv', which cannot be read"], prepare=closed("list.csv")),
    Case("compare $digits --output out/x.html", ["out/x.html'"], prepare=closed("out", READ_ONLY)),
    Case("export --ckpt $digits --out out/x", ["--out is 'out/x'", DENIED], prepare=closed("out", READ_ONLY)),
    Case("fit --config closed.yaml", ["closed.yaml"], prepare=closed("closed.yaml")),
    Case("tune --sweep closed.yaml", ["closed.yaml", "Permission denied"], prepare=closed("closed.yaml")),
]


def link(name: str, target: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)

    return change


def pipe(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(folder / name)

    return change


def file(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")

    return change


def directory(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).mkdir(parents=True)


def says(words: str) -> Callable[[Path, Outcome], None]:
    def check(_: Path, outcome: Outcome) -> None:
        assert words in outcome.out

    return check


NO_FILE, IN_A_CIRCLE = "Not a file but a pipe or a device", "Too many levels of symbolic links"
REMOVE = "Remove it, or give another path"
WRONG = [
    Case(FIT_PHOTOS, ["run.root is 'runs'", REMOVE], prepare=file("runs")),
    Case(FIT_PHOTOS, ["run.root is 'runs'", "a link where a folder is needed"], prepare=link("runs", "nowhere")),
    Case(FIT_PHOTOS, ["run.root is 'runs'", "in a circle"], prepare=link("runs", "runs")),
    Case(FIT_PHOTOS + " --run.directory x", ["run.directory is 'x'", "not empty"], prepare=file("x")),
    Case(FIT_PHOTOS + " --run.directory x/y", ["run.directory is 'x/y'", REMOVE], prepare=file("x")),
    Case(FIT_PHOTOS + f" --run.root {300 * 'x'}", ["run.root is 'xxx", "too long. Give a shorter name"]),
    Case(FIT_PHOTOS, ["data.cache_dir is 'data/cache'", REMOVE], prepare=file("data/cache")),
    Case(FIT_PHOTOS, ["images.bin' cannot be", REMOVE], prepare=directory("data/cache/crop-8px-3ch/images.bin")),
    Case(FIT_PHOTOS, ["digests.json' cannot be", REMOVE], prepare=directory("data/cache/digests.json")),
    Case(FIT_PHOTOS, ["red/pipe.png", NO_FILE], prepare=pipe("photos/red/pipe.png")),
    Case(FIT_PHOTOS + " --data.cache none", ["red/pipe.png", NO_FILE], prepare=pipe("photos/red/pipe.png")),
    Case(FIT_PHOTOS + " --data.cache memory", ["red/pipe.png", NO_FILE], prepare=pipe("photos/red/pipe.png")),
    Case(FIT_PHOTOS + " --data.unreadable skip", ["skipped"], 0, pipe("photos/red/pipe.png")),
    Case(FIT_PHOTOS, ["red/zero.png", NO_FILE], prepare=link("photos/red/zero.png", "/dev/zero")),
    Case(FIT_PHOTOS, ["red/loop.png", IN_A_CIRCLE], prepare=link("photos/red/loop.png", "loop.png")),
    Case(FIT_PHOTOS, ["'photos/splits.csv' cannot be read: " + NO_FILE], prepare=pipe("photos/splits.csv")),
    Case("audit photos", prepare=pipe("photos/red/pipe.png"), check=says(NO_FILE)),
    Case("audit photos --quarantine aside", ["'aside' cannot be", REMOVE], prepare=file("aside")),
    Case("split photos", ["red/pipe.png' cannot be read", NO_FILE], prepare=pipe("photos/red/pipe.png")),
    Case("split photos", ["red/gone.png' cannot be read", "No such"], prepare=link("photos/red/gone.png", "nowhere")),
    Case("split photos --output pipe", ["'pipe', which is a device or a pipe"], prepare=pipe("pipe")),
    Case("compare $digits --output /dev/null", ["'/dev/null', which is a device or a pipe"]),
    Case("pack photos out", ["red/zero.png: " + NO_FILE], prepare=link("photos/red/zero.png", "/dev/zero")),
    Case("predict --ckpt $run photos/red/pipe.png", ["1 of 1 failed", NO_FILE], 1, pipe("photos/red/pipe.png")),
    Case("predict --ckpt $run list.csv", ["PATH is 'list.csv'", NO_FILE], prepare=pipe("list.csv")),
    Case("predict --ckpt pipe photos", ["--ckpt is 'pipe'"], prepare=pipe("pipe")),
    Case("demo --export out", ["out/model.json' cannot be read", NO_FILE], prepare=pipe("out/model.json")),
    Case("tune --sweep sweep.yaml", ["--sweep is 'sweep.yaml'"], prepare=pipe("sweep.yaml")),
]


@pytest.fixture
def folder(tmp_path: Path, paths: Mapping[str, Path]) -> Iterator[Path]:
    shutil.copytree(paths["photos"], tmp_path / "photos")
    yield tmp_path
    for path in [tmp_path, *tmp_path.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755)


@pytest.mark.parametrize("case", FORBIDDEN, ids=str)
def test_without_permission(case: Case, folder: Path, paths: Mapping[str, Path]) -> None:
    with permissions_bind():
        assert try_case(case, folder, paths) == []


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_not_the_kind_of_file(case: Case, folder: Path, paths: Mapping[str, Path]) -> None:
    assert try_case(case, folder, paths) == []
    assert leftovers(folder) == []


def test_a_cache_that_cannot_be_written_is_not_needed_to_read_a_folder(folder: Path) -> None:
    with permissions_bind():
        ends(FIT_PHOTOS.split(), folder, status=0)
        for path in (folder / "data" / "cache", *(folder / "data" / "cache").iterdir()):
            path.chmod(READ_ONLY if path.is_dir() else 0o444)
        ends(["audit", "photos"], folder, status=1)  # few images
        ends([*FIT_PHOTOS.split(), "--data.cache", "memory"], folder, status=0)


# Two at once.


def test_two_trainings_at_once_share_a_cold_cache(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    words = ["fit", "--data", "ImageFolderDataModule", "--data.root", "photos", "--data.image_size", "16"]
    words += ["--model", "MLPClassifier", "--model.hidden_sizes", "[8]", "--trainer.max_epochs", "1", *CPU, *OFF]
    command = [sys.executable, "-m", "{{cookiecutter.package}}", *words]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=tmp_path, **pipes) for _ in range(2)]
    ended = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    runs = [tmp_path / out.strip().splitlines()[-1] for out, _ in ended]
    assert runs[0] != runs[1]
    assert_same(*runs)
    cache = tmp_path / "data" / "cache" / "crop-16px-3ch" / "images.bin"
    assert cache.stat().st_size == 60 * 16 * 16 * 3
