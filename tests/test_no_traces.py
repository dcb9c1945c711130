"""Tests and cookiecutter leave nothing in the home folder and in the temporary one, however long its path is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from baking import TEMPLATE, bake

# Splits print paths, and the imports of every test write into the home folder.
TESTS = ["tests/tools/test_split.py"]


def left(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.name.startswith("pytest-")]


def test_a_projects_tests(default_bake: Path, tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / f"t-{200 * 't'}"
    home.mkdir()
    temporary.mkdir()
    folders = {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(default_bake / "src")}
    command = [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", *TESTS]
    result = subprocess.run(
        command, cwd=default_bake, env={**os.environ, **folders}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    assert left(home) + left(temporary) == []


def test_cookiecutter_of_the_makefile() -> None:
    """Its replay file is written over that of the user's last project, unless it has a home of its own."""
    makefile = (TEMPLATE / "Makefile").read_text(encoding="utf-8")
    command = makefile.split("BAKE := ")[1].split("--no-input")[0]
    assert 'HOME="$(CURDIR)/build/home" TMPDIR="$(CURDIR)/build/home"' in command


def test_cookiecutter_of_the_tests(tmp_path: Path) -> None:
    bake(tmp_path / "out")
    assert (tmp_path / "out-home" / ".cookiecutter_replay").is_dir()
    assert "tests-" in os.environ["TMPDIR"]
