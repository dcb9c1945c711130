"""Set-ups that the tests of ``doctor`` share: small folders of photographs, a fake driver, and a repository."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from {{cookiecutter.package}}.cli import main

SHORT = " --trainer.max_epochs 2 --trainer.accelerator cpu"
MLP = "--data DigitsDataModule --model MLPClassifier --model.hidden_sizes [16]" + SHORT
CNN = "--data DigitsDataModule --model CNNClassifier --model.widths [8]" + SHORT
PHOTOS = "--data ImageFolderDataModule --data.root photos --data.image_size 32 --data.batch_size 8"
PHOTOS += " --model MLPClassifier --model.hidden_sizes [16]" + SHORT
IDENTITY = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]


def doctor(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON document of ``doctor``."""
    capsys.readouterr()
    try:
        main(["doctor", *words.split(), "--json"])
    except SystemExit as stop:
        status = int(stop.code or 0)
    else:
        status = 0
    return status, json.loads(capsys.readouterr().out)


def named(found: dict[str, Any], severities: Sequence[str]) -> list[str]:
    """The findings of these severities, each in one line."""
    chosen = [one for one in found["findings"] if one["severity"] in severities]
    return ["{severity} {subject}: {what} / {why} / {remedy}".format(**one) for one in chosen]


def write_photo(file: Path, seed: Sequence[int], side: int = 64) -> None:
    """A photograph of smooth noise: no two are similar."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(list(seed)).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(file, quality=95)


def write_folder(root: Path, num_images: int = 24, classes: Sequence[str] = ("ant", "bee"), side: int = 64) -> None:
    """Images of each class: half of them in ``train``, and a quarter in ``val`` and in ``test``."""
    for label, name in enumerate(classes):
        for number in range(2 * num_images):
            split = ("train", "train", "val", "test")[number % 4]
            write_photo(root / split / name / f"{number}.jpg", (label, number), side)


def fake_command(folder: Path, name: str, text: str) -> None:
    """A shell script in place of a program."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod((folder / name).stat().st_mode | stat.S_IEXEC)


def fake_gpu(folder: Path, row: str, cuda: str) -> None:
    """A driver with one GPU: ``row`` answers the query, and ``cuda`` is its version."""
    fake_command(folder, "nvidia-smi", f'[ $# -gt 0 ] && echo "{row}" || echo "| CUDA Version: {cuda} |"')


def git(*words: str) -> None:
    subprocess.run([str(shutil.which("git")), *IDENTITY, *words], check=True, capture_output=True)


def start_repository() -> None:
    """A repository in the working directory, with one commit."""
    Path("code.py").write_text("", encoding="utf-8")
    git("init", "--quiet")
    git("add", "code.py")
    git("commit", "--quiet", "--message", "first")
