"""Runs that the first layout of a generated project wrote still load, test, predict, resume and report."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ARCHIVE = Path(__file__).parent / "fixtures" / "runs_of_the_first_layout.zip"
Verb = Callable[..., str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, two stopped ones with the metrics that the old layout reached, and their photographs."""
    folder = tmp_path_factory.mktemp("runs")
    zipfile.ZipFile(ARCHIVE).extractall(folder)
    # Stopped at the end of its best epoch: both files have the same weights, and the archive has only one of them.
    checkpoints = folder / "stopped_transfer" / "checkpoints"
    shutil.copy(checkpoints / "last.ckpt", checkpoints / "best.ckpt")
    return folder


@pytest.fixture(scope="module")
def verb(default_bake: Path, runs: Path) -> Verb:
    def run(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(default_bake / "src")}
        command = [sys.executable, "-m", "image_classifier", *words]
        result = subprocess.run(command, cwd=runs, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


def summary(run: Path) -> dict[str, float]:
    values: dict[str, float] = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return values


@pytest.mark.parametrize("name", ["finished_digits", "finished_folder"])
def test_tests(name: str, runs: Path, verb: Verb) -> None:
    expected = summary(runs / name)
    assert f"accuracy {expected['test/acc']:.2%} on {expected['num_test_images']} test images" in verb(
        "test", "--ckpt", name
    )


def test_predicts(runs: Path, verb: Verb) -> None:
    verb("predict", "--ckpt", "finished_folder", "photos", "--output", "all.csv")
    with (runs / "all.csv").open(encoding="utf-8") as stream:
        found = {row["path"].removeprefix("photos/"): float(row["probability"]) for row in csv.DictReader(stream)}
    with (runs / "finished_folder" / "predictions.csv").open(encoding="utf-8") as stream:
        before = {row["path"]: float(row["probability"]) for row in csv.DictReader(stream)}
    assert {path: found[path] for path in before} == pytest.approx(before, abs=1e-4)


def test_reports_and_compares(runs: Path, verb: Verb) -> None:
    for name in ("finished_digits", "finished_folder", "stopped_folder"):
        verb("report", name)
        assert "<svg" in (runs / name / "report.html").read_text(encoding="utf-8")
    verb("compare", "finished_digits", "finished_folder")


@pytest.mark.parametrize("name", ["stopped_folder", "stopped_transfer"])
def test_resumes_to_the_same_end(name: str, runs: Path, verb: Verb) -> None:
    """The same on the machine that wrote the run; other processors round differently."""
    copy = shutil.copytree(runs / name, runs / f"{name}_copy")
    verb("fit", "--resume", copy.name)
    tables = []
    for file in (copy / "metrics.csv", copy / "expected_metrics.csv"):
        with file.open(encoding="utf-8") as stream:
            tables.append([{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)])
    assert len(tables[0]) == len(tables[1])
    for found, expected in zip(*tables, strict=True):
        assert found == pytest.approx(expected, rel=0.02, abs=0.02)
    end = json.loads((copy / "expected_summary.json").read_text(encoding="utf-8"))
    assert summary(copy)["test/acc"] == pytest.approx(end["test/acc"], abs=0.02)
    assert summary(copy)["split_hash"] == end["split_hash"]


def test_a_config_repeats_its_run(runs: Path, verb: Verb) -> None:
    again = Path(verb("fit", "--config", "finished_digits/config.yaml", "--run.directory", "again").splitlines()[-1])
    assert summary(runs / again)["test/acc"] == pytest.approx(summary(runs / "finished_digits")["test/acc"], abs=0.03)


def test_weights_start_a_new_run(runs: Path, verb: Verb) -> None:
    words = ["--config", "finished_folder/config.yaml", "--init_from", "finished_folder", "--trainer.max_epochs", "1"]
    assert (runs / verb("fit", *words, "--run.directory", "next").splitlines()[-1] / "summary.json").is_file()
