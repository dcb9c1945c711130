"""An export is used where there is no torch: in a fresh environment with the packages of its requirements.txt."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MAX_MIB = 130  # of the installed packages
UV = Path(sys.executable).with_name("uv")


def run(folder: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [str(word) for word in words]
    given = {**os.environ, **environment}
    result = subprocess.run(line, cwd=folder, env=given, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result


def write_photos(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for name, colour in {"ant": (120, 40, 30), "bee": (220, 190, 40)}.items():
        (folder / name).mkdir(parents=True)
        for position in range(24):
            size = generator.integers(40, 160, 2)
            pixels = np.clip(generator.normal(0, 40, (*size, 3)) + np.array(colour), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{position}.jpg")


@pytest.fixture(scope="module")
def exported(default_bake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, and a run with an export."""
    folder = tmp_path_factory.mktemp("exported")
    write_photos(folder / "photos")
    classifier = [sys.executable, "-m", "image_classifier"]
    words = [
        "--config",
        default_bake / "configs" / "folder_cnn.yaml",
        "--data.root",
        "photos",
        "--data.image_size",
        "32",
    ]
    words += ["--run.directory", "run", "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu"]
    words += ["--report", "false", "--tracking.wandb", "off"]
    run(folder, *classifier, "fit", *words, PYTHONPATH=str(default_bake / "src"))
    run(folder, *classifier, "export", "--ckpt", "run", "--out", "export", PYTHONPATH=str(default_bake / "src"))
    return folder


def test_a_small_environment_classifies_as_the_run_did(exported: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    run(tmp_path, UV, "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    run(
        tmp_path,
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--requirements",
        exported / "export" / "requirements.txt",
    )
    installed = sum(file.stat().st_size for file in environment.rglob("*") if file.is_file() and not file.is_symlink())
    assert installed <= MAX_MIB * 2**20
    shutil.copytree(exported / "export", tmp_path / "elsewhere")
    missing = "import importlib.util as u; assert not u.find_spec('torch') and not u.find_spec('image_classifier')"
    run(tmp_path, python, "-c", missing)
    run(tmp_path, python, "elsewhere/predictor.py", "elsewhere", exported / "photos", "--out", "found.csv")
    with (tmp_path / "found.csv").open(encoding="utf-8") as stream:
        found = {row["path"].removeprefix(f"{exported}/photos/"): row for row in csv.DictReader(stream)}
    with (exported / "run" / "predictions.csv").open(encoding="utf-8") as stream:
        recorded = list(csv.DictReader(stream))
    assert len(found) == 48
    assert len(recorded) >= 4
    for row in recorded:
        assert found[row["path"]]["class"] == row["predicted_class"]
        assert float(found[row["path"]]["probability"]) == pytest.approx(float(row["probability"]), abs=1e-4)
