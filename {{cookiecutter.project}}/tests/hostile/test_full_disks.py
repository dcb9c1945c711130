"""Disks that fill up, and are freed again: one sentence, status 2, nothing half-written, and nothing lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from {{cookiecutter.package}}.files import write_text

from ..interruption import assert_same, last, status
from .campaign import LONG, ends, files_in, leftovers, run
from .conftest import CPU, DIGITS, OFF
from .disks import FULL, file_limit, full_disk

FIT = ["fit", *DIGITS, *CPU, *OFF, "--trainer.max_epochs"]


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
    run(words, tmp_path, seconds=LONG)
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
