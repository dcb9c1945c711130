"""The photographs, the packed data set and the finished run that the commands work on: made once, copied for each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = {"blue": (20, 40, 220), "green": (30, 200, 40), "red": (220, 30, 20)}
NUM_IMAGES = 60  # a class
NUM_COPIES = 20  # of images of the same class, for audit's quarantine
FOLDER = ["--data", "ImageFolderDataModule", "--data.root", "photos", "--data.image_size", "32"]
SHORT = ["--data.batch_size", "16", "--tracking.wandb", "off", "--trainer.accelerator", "cpu"]
CNN = ["--model", "CNNClassifier", "--model.widths", "[8]", "--trainer.max_epochs", "2"]


def command(*words: str) -> list[str]:
    """The project's command line under this Python, in which the project is installed."""
    return [sys.executable, "-m", "image_classifier", *words]


def write_inputs(folder: Path, project: Path) -> None:
    """Write ``photos/``, ``packed/`` and ``runs/trained/`` with the commands of the project, and copy ``configs/``."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(project / "configs", folder / "configs")
    write_photographs(folder / "photos")
    for words in (
        ["pack", "photos", "packed", "--decoded", "--image_size", "32"],
        ["fit", *FOLDER, *SHORT, *CNN, "--run.directory", "runs/trained"],
    ):
        subprocess.run(command(*words), cwd=folder, check=True, capture_output=True)
    shutil.rmtree(folder / "data", ignore_errors=True)  # the cache: each command starts with a cold one


def write_photographs(root: Path) -> None:
    rng = np.random.default_rng(0)
    for name, colour in CLASSES.items():
        (root / name).mkdir(parents=True)
        for number in range(NUM_IMAGES):
            pixels = np.clip(rng.normal(colour, 60, size=(160, 200, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:03}.jpg")
        for number in range(NUM_COPIES):
            shutil.copy(root / name / f"{number:03}.jpg", root / name / f"copy of {number:03}.jpg")
