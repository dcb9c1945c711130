"""Files that cannot be written or read: one sentence, status 2, nothing half-written, and nothing lost."""

from __future__ import annotations

import ast
import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import {{cookiecutter.package}}
from {{cookiecutter.package}}.files import explain, move, replacing, write_text

from ..conftest import write_photos
from ..interruption import assert_same, last, status
from .campaign import Case, Outcome, judge, run, try_case
from .conftest import CPU, DIGITS, OFF
from .disks import FULL, file_limit, full_disk, permissions_bind

FIT = ["fit", *DIGITS, *CPU, *OFF, "--trainer.max_epochs"]
SECONDS = 240.0  # also on a busy machine


def ends(words: Sequence[str], folder: Path, expected: Sequence[str] = (), status: int = 2) -> Outcome:
    outcome = run(words, folder, seconds=SECONDS)
    assert judge(outcome, expected, [status]) == []
    return outcome


def files_in(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.suffix in {".tmp", ".old"}]


# The writer of files.


def test_a_file_is_there_when_it_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    write_text(file, "first")
    with pytest.raises(TypeError), replacing(file) as stream:
        stream.writelines(["half", None])
    assert files_in(tmp_path) == {"table.csv": b"first"}


def test_the_file_of_a_killed_process_is_used_again(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    if (child := os.fork()) == 0:
        with replacing(file) as stream:
            stream.write(9999 * "killed")
            stream.flush()
            os._exit(9)
    os.waitpid(child, 0)
    assert [path.name for path in tmp_path.iterdir()] == [".table.csv.tmp"]
    write_text(file, "whole")
    assert files_in(tmp_path) == {"table.csv": b"whole"}


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    with replacing(file) as one, replacing(file) as other:
        one.write("one, which ends last")
        other.write("other")
        other.flush()
        one.flush()
        assert len(leftovers(tmp_path)) == 2
    assert files_in(tmp_path) == {"table.csv": b"one, which ends last"}


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".table.csv.tmp").symlink_to("mine")
    write_text(tmp_path / "table.csv", "new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "table.csv").is_symlink()


def test_to_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(self: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link", str(self), None, str(target))

    monkeypatch.setattr(Path, "rename", rename)
    source, target = tmp_path / "image.png", tmp_path / "aside" / "image.png"
    source.write_bytes(b"pixels")
    with full_disk("image.png"), pytest.raises(OSError, match="No space left"):
        move(source, target)
    assert files_in(tmp_path) == {"image.png": b"pixels"}
    move(source, target)
    assert files_in(tmp_path) == {"aside/image.png": b"pixels"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left", "a"), "'a' cannot be written: the disk is full. Free disk space."),
        (OSError(errno.EFBIG, "File too large", "a"), "'a' cannot be written: a file would be larger than this shell"),
        (OSError(errno.ENOSPC, "No space left"), "the disk is full. Free disk space."),
        (OSError(errno.EROFS, "Read-only file system", "a"), "'a' cannot be read or written: Read-only file system. W"),
        (OSError(errno.EIO, "Input/output error", "a"), "Input/output error. Check the disk."),
        (OSError(errno.ESTALE, "Stale file handle", "a"), "'a' cannot be read or written: Stale file handle. Check"),
    ],
)
def test_sentences(error: OSError, expected: str) -> None:
    assert expected in str(explain(error))


@pytest.mark.parametrize("error", [OSError("cannot identify image"), ConnectionRefusedError(111, "refused")])
def test_errors_that_are_not_of_files_keep_their_trace(error: OSError) -> None:
    assert explain(error) is None


# Functions that write in place, each with the files that may use it.
OWN_WAY = {
    "predictor.py",  # works without the package
    "engine/image_cache.py",  # appends, and indexes afterwards
    "engine/streaming/chunks.py",  # downloads
    "engine/streaming/stores.py",  # uploads from a temporary folder
    "tools/doctor/steps.py",  # resets a counter of the kernel
    "files.py",
}


def writes(call: ast.Call) -> bool:
    """Whether a call writes a file by its name."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    texts = [word.value for word in ast.walk(call) if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    is_method = isinstance(call.func, ast.Attribute)
    return (name == "open" and any(set(text) & set("wax+") and len(text) <= 3 for text in texts)) or (
        is_method and name in {"write_text", "write_bytes", "to_csv", "touch"}
    )


def test_files_are_written_in_one_place() -> None:
    package = Path({{cookiecutter.package}}.__file__).parent
    found = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and writes(node)
    }
    assert found - OWN_WAY == set()
    assert "engine/image_cache.py" in found


# Disks that are full.


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "status.json"])
def test_full_at_the_start(name: str, tmp_path: Path) -> None:
    with full_disk(name):
        ends([*FIT, "1", "--run.directory", "run"], tmp_path, [f"run/{name}' cannot be written: the disk is full"])
    assert f"run/{name}" not in files_in(tmp_path)
    assert leftovers(tmp_path) == []
    if name == "environment.json":
        ends(["fit", "--resume", "run", *CPU], tmp_path, status=0)
    else:
        ends([*FIT, "1", "--run.directory", "run"], tmp_path, status=0)


@pytest.mark.parametrize(
    ("name", "num_before"),
    [
        ("metrics.csv", 0),
        ("last.ckpt", 0),
        ("best.ckpt", 1),
        ("status.json", 3),
        ("predictions.csv", 0),
        ("outputs.npz", 0),
        ("summary.json", 0),
    ],
)
def test_full_and_freed_again(name: str, num_before: int, tmp_path: Path, whole: Path) -> None:
    with full_disk(name, num_before):
        words = [*FIT, "2", "--run.directory", "run"]
        ends(words, tmp_path, ["run/", f"{name}' cannot be written: the disk is full", "fit --resume run"])
    assert leftovers(tmp_path) == []
    if (tmp_path / "run" / "checkpoints" / "last.ckpt").exists():
        assert last(tmp_path / "run")["global_step"] > 0  # the one before is whole
    ends(["fit", "--resume", "run", *CPU], tmp_path, status=0)
    assert status(tmp_path / "run")["state"] == "finished"
    assert_same(tmp_path / "run", whole)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    ends([*FIT, "2", "--run.directory", "run"], folder, status=0)
    return folder / "run"


def test_checkpoints_do_not_need_the_folder_for_temporary_files(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is often another disk, from which a move is a copy in place."""
    monkeypatch.setattr(tempfile, "mkstemp", lambda *_, **__: pytest.fail("a temporary file elsewhere"))
    ends([*FIT, "2", "--run.directory", "run"], tmp_path, status=0)
    assert_same(tmp_path / "run", whole)


def test_full_at_the_report(tmp_path: Path) -> None:
    on = [word.replace("--report=false", "--report=true") for word in FIT]
    with full_disk("report.html"):
        outcome = ends([*on, "1", "--run.directory", "run"], tmp_path, status=0)
    assert "The report could not be written (OSError: [Errno 28] No space left on device" in outcome.err
    assert status(tmp_path / "run")["state"] == "finished"
    with full_disk("report.html"):
        ends(["report", "run"], tmp_path, ["run/report.html' cannot be written: the disk is full"])
    ends(["report", "run"], tmp_path, status=0)


def test_full_at_the_cache(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    words = ["validate", "--ckpt", str(paths["run"]), *CPU]
    first = ends(words, tmp_path, status=0)
    cache = files_in(tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    with file_limit(20_000):
        ends(words, tmp_path, ["data.cache_dir is 'data/cache', which cannot be written", "ulimit -f"])
    assert (tmp_path / "data" / "cache" / "crop-16px-3ch" / "images.bin").stat().st_size == 0
    for name in ("index.json", "digests.json"):
        shutil.rmtree(tmp_path / "data")
        with full_disk(name):
            ends(words, tmp_path, [f"{name}' cannot be written: the disk is full"])
        assert leftovers(tmp_path) == []
    assert ends(words, tmp_path, status=0).out == first.out
    assert files_in(tmp_path / "data").keys() == cache.keys()


def test_full_at_what_verbs_write(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    """An earlier file stays as it was."""
    shutil.copytree(paths["photos"], tmp_path / "photos")
    ends(["split", "photos"], tmp_path, status=0)
    for name in ("audit/audit.csv", "audit/audit.html", "compare.html", "predictions.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("earlier")
    before = files_in(tmp_path)
    for name, words in {
        "splits.csv": ["split", "photos", "--extend"],
        "audit.csv": ["audit", "photos"],
        "audit.html": ["audit", "photos"],
        "compare.html": ["compare", str(paths["digits"])],
        "predictions.csv": ["predict", "--ckpt", str(paths["run"]), "photos/red"],
    }.items():
        with full_disk(name):
            ends(words, tmp_path, [f"{name}' cannot be written: the disk is full"])
        found = files_in(tmp_path)
        assert {path for path, content in before.items() if found[path] != content} <= {"audit/audit.csv"}
        before = found
    assert leftovers(tmp_path) == []


def test_full_at_the_quarantine(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    shutil.copytree(paths["photos"], tmp_path / "photos")
    for number in range(3):
        (tmp_path / "photos" / "red" / f"empty {number}.png").touch()
    before = files_in(tmp_path / "photos")
    words = ["audit", "photos", "--quarantine", "aside"]
    with full_disk("quarantine.csv"):
        ends(words, tmp_path, ["aside/quarantine.csv' cannot be written: the disk is full"])
    assert files_in(tmp_path / "photos") == before
    run(words, tmp_path, seconds=SECONDS)
    assert len(files_in(tmp_path / "photos")) == len(before) - 3
    ends(["audit", "photos", "--restore", "aside"], tmp_path, status=0)
    assert files_in(tmp_path / "photos") == before


def test_full_at_the_packing(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    pytest.importorskip("litdata")
    words = ["pack", str(paths["photos"])]
    ends([*words, "whole"], tmp_path, status=0)
    for name in ("packing.json", "chunk-0-0.bin", "labels.npy", "dataset.json"):
        with full_disk(name):
            ends([*words, "out"], tmp_path, [f"{name}' cannot be written: the disk is full"])
        assert "dataset.json" not in files_in(tmp_path / "out")
    ends([*words, "out"], tmp_path, status=0)
    assert files_in(tmp_path / "out") == files_in(tmp_path / "whole")
    assert leftovers(tmp_path) == []


def test_full_at_the_export(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    words = ["export", "--ckpt", str(paths["run"]), "--formats", "pt2", "--out", "out", "--overwrite"]
    ends(words, tmp_path, status=0)
    before = files_in(tmp_path / "out")
    with file_limit(30_000):
        ends(words, tmp_path, ["cannot be written", "ulimit -f"])
    assert files_in(tmp_path / "out") == before
    assert leftovers(tmp_path) == []


def test_full_at_the_study(tmp_path: Path) -> None:
    sweep = {
        "command": ["image", "fit", *DIGITS, *CPU, "--trainer.max_epochs", "1", "${args}"],
        "metric": {"name": "val/loss"},
        "parameters": {"model.optimizer.lr": {"values": [0.001, 0.01]}},
    }
    write_text(tmp_path / "sweep.yaml", str(sweep))
    words = ["tune", "--sweep", "sweep.yaml", "--trials", "1"]
    with file_limit(60_000):
        ends(words, tmp_path, ["--study is 'runs/tune/sweep/study.db', which cannot be read or written"])
    with full_disk("last.ckpt"):
        ends(words, tmp_path, ["last.ckpt' cannot be written: the disk is full"])
    ends(words, tmp_path, ["No trial of 1 is better"], status=0)


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_full_at_standard_output() -> None:
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "{{cookiecutter.package}}", "--help"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (2, "error: the disk is full. Free disk space.\n")


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
    outcome = run([*FIT, "1", "--run.directory", "run"], folder, seconds=SECONDS)
    assert judge(outcome, statuses=[0]) == []
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
