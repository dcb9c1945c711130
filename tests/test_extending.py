"""Every block of docs/extending.md is true: files and changes are applied to a project, commands run in it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from baking import TEMPLATE

TITLED = re.compile(r'^```(?P<language>\w+)(?: title="(?P<path>[^"]+)")?\n(?P<text>.*?)^```', re.MULTILINE | re.DOTALL)
COMMAND = ["uv", "run"]  # what every command of the page begins with
COLOURS = {"ant": (120, 40, 30), "bee": (220, 190, 40)}


class Block(NamedTuple):
    language: str
    path: str
    text: str


BLOCKS = [Block(*found) for found in TITLED.findall((TEMPLATE / "docs/extending.md").read_text(encoding="utf-8"))]
COMMANDS = [
    line for block in BLOCKS if block.language == "bash" for line in block.text.replace("\\\n", " ").splitlines()
]


@pytest.fixture(scope="module")
def project(default_bake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with all files and changes of the page, and the photographs that its commands name."""
    from PIL import Image

    copy = shutil.copytree(default_bake, tmp_path_factory.mktemp("extended") / "image-classifier")
    for block in BLOCKS:
        if block.language == "diff":
            patch(copy / block.path, block.text)
        elif block.language != "bash":
            (copy / block.path).write_text(block.text, encoding="utf-8")
    (copy / "photos").mkdir()
    rows = ["file,class"]
    for name, (red, green, blue) in COLOURS.items():
        for number in range(20):
            rows.append(f"{name}-{number}.png,{name}")
            Image.new("RGB", (20, 24 + number), (red + number, green, blue)).save(copy / f"photos/{name}-{number}.png")
    (copy / "photos/labels.csv").write_text("\n".join(rows), encoding="utf-8")
    (copy / "cells").mkdir()
    np.save(copy / "cells/images.npy", np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8))
    np.save(copy / "cells/labels.npy", np.arange(60) % 2)
    return copy


def patch(file: Path, diff: str) -> None:
    """Apply one hunk without line numbers; what it replaces stands in the file exactly once."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{file} does not hold, once:\n{before}"
    file.write_text(text.replace(before, after), encoding="utf-8")


def run(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python in the project, on its own source."""
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_every_kind_of_block_is_there() -> None:
    assert {block.language for block in BLOCKS} == {"python", "diff", "bash"}
    assert [block for block in BLOCKS if bool(block.path) == (block.language == "bash")] == []


def test_style(project: Path) -> None:
    for words in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]):
        result = run(project, *words)
        assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_command(project: Path, command: str) -> None:
    words = shlex.split(command, comments=True)
    assert words[:2] == COMMAND
    module = words[2].replace("-", "_")
    overlay = ["--config", "configs/trainer/debug.yaml"] if words[3] == "fit" else []
    result = run(project, module, *words[3:], *overlay)
    assert result.returncode == 0, result.stdout + result.stderr


def sections() -> dict[str, int]:
    """Number of lines to write for each extension, without blank lines and those that stay."""
    text = (TEMPLATE / "docs/extending.md").read_text(encoding="utf-8")
    parts = re.split(r"^###? (.*)$", text, flags=re.MULTILINE)
    found = {}
    for title, part in zip(parts[1::2], parts[2::2], strict=True):
        blocks = [Block(*block) for block in TITLED.findall(part)]
        written = [line for block in blocks if block.language == "python" for line in block.text.splitlines()]
        changes = [block.text for block in blocks if block.language == "diff" and block.path.startswith("src/")]
        written += [line for text in changes for line in text.splitlines() if line.startswith("+") and line != "+"]
        found[title] = len([line for line in written if line.strip()])
    return {title: number for title, number in found.items() if number}


@pytest.mark.parametrize("title", ["A model", "Any torch Dataset of images", "A table of files", "Arrays in memory"])
def test_a_class_takes_few_lines(title: str) -> None:
    assert 0 < sections()[title] <= 25


@pytest.mark.parametrize("title", ["A loss", "A metric", "An augmentation", "A schedule"])
def test_an_addition_has_one_place(title: str) -> None:
    assert 0 < sections()[title] <= 25
    text = (TEMPLATE / "docs/extending.md").read_text(encoding="utf-8")
    part = text.split(f"## {title}\n")[1].split("\n## ")[0]
    assert len({block[1] for block in TITLED.findall(part) if block[1].startswith("src/")}) == 1
