"""The writer of files: a file is there when it is complete, and its errors are one sentence."""

from __future__ import annotations

import ast
import errno
import os
from pathlib import Path

import pytest

import {{cookiecutter.package}}
from {{cookiecutter.package}}.files import explain, move, replacing, write_text

from .campaign import files_in, leftovers
from .disks import full_disk


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
