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


def test_a_wrong_column_is_one_sentence(project: Path) -> None:
    folder = project / "others"
    folder.mkdir()
    (folder / "labels.csv").write_text("path,class\na.jpg,ant\n", encoding="utf-8")
    words = ["--data", "CSVDataModule", "--data.root", "others", "--model", "CNNClassifier"]
    result = run(project, "image_classifier", "fit", *words)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "'path', 'class'" in result.stderr
    assert "Traceback" not in result.stderr
