"""One set of rules inside and outside, and every project keeps it, whatever its names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from baking import PROJECT_TREE, TEMPLATE, bake

# Names of 2 and of 30 characters wrap import lines at other places than the default does.
PACKAGES = ["image_classifier", "zz", "handwritten_digit_classifier_a"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """With this Python's tools first, and one cache of the types of torch for all checks."""
    cache = tmp_path_factory.mktemp("caches")
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MYPY_CACHE_DIR": str(cache / "mypy"),
        "PRE_COMMIT_HOME": str(cache / "pre-commit"),
        "RUFF_NO_CACHE": "true",
    }


@pytest.fixture(scope="module", params=PACKAGES)
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake(tmp_path_factory.mktemp("quality") / "out", package=request.param)


def assert_passes(folder: Path, environment: dict[str, str], *command: str) -> None:
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def rules(pyproject: Path) -> dict[str, Any]:
    ruff: dict[str, Any] = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["ruff"]
    return {"line-length": ruff["line-length"], **ruff["lint"]}


def test_same_rules_inside_and_outside(default_bake: Path) -> None:
    assert rules(default_bake / "pyproject.toml") == rules(TEMPLATE / "pyproject.toml")


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check", "mypy"])
def test_template(command: str, environment: dict[str, str]) -> None:
    assert_passes(TEMPLATE, environment, *command.split())


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check", "mypy"])
def test_project(command: str, project: Path, environment: dict[str, str]) -> None:
    assert_passes(project, environment, *command.split())


@pytest.mark.parametrize("folder", [TEMPLATE, PROJECT_TREE], ids=["template", "project"])
def test_workflows(folder: Path, environment: dict[str, str]) -> None:
    """Offline, and with the audits that are too strict for most; an action's pin names its version."""
    assert_passes(folder, environment, "zizmor", "--offline", "--no-progress", "--persona", "pedantic", ".github")
    workflow = (folder / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    used = [line.split("uses: ")[1] for line in workflow.splitlines() if "uses: " in line]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)] == []


def test_pre_commit(default_bake: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """With a lock file of the size that uv writes for a project's dependencies."""
    project = shutil.copytree(default_bake, tmp_path / "project")
    (project / "uv.lock").write_text(20_000 * "hash = 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef'\n")
    assert_passes(project, environment, "git", "init", "--quiet")
    assert_passes(project, environment, "git", "add", "--all")
    assert_passes(project, environment, "pre-commit", "run", "--all-files")


def test_pre_commit_keeps_large_files_out(default_bake: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    project = shutil.copytree(default_bake, tmp_path / "project")
    (project / "weights.pt").write_bytes(bytes(1_000_001))
    assert_passes(project, environment, "git", "init", "--quiet")
    assert_passes(project, environment, "git", "add", "--all")
    command = ["pre-commit", "run", "--all-files", "large-files"]
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "over 1 MB, keep them out of git: ['weights.pt']" in result.stdout
