"""The lessons of a project open as notebooks, run as scripts and as notebooks, and nothing needs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from baking import PROJECT_TREE
from nbclient import NotebookClient
from test_deleting import run

LESSONS = sorted(path.name for path in PROJECT_TREE.glob("lessons/[0-9]*.py"))
QUICK = [name for name in LESSONS if name[:2] in {"01", "02", "03"}]
NOTEBOOK = LESSONS[0]


@pytest.fixture(scope="module")
def project(default_bake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which lessons leave runs."""
    return shutil.copytree(default_bake, tmp_path_factory.mktemp("lessons") / "image-classifier")


def environment(project: Path) -> dict[str, str]:
    """Without data sets that are not in the project."""
    kept = {name: value for name, value in os.environ.items() if name != "CLASSIFIER_DATA"}
    return {**kept, "PYTHONPATH": str(project / "src")}


def test_there_are_ten() -> None:
    assert [name[:3] for name in LESSONS] == [f"{number:02}_" for number in range(1, 11)]


@pytest.mark.parametrize("name", LESSONS)
def test_opens_as_a_notebook(name: str, default_bake: Path) -> None:
    notebook = jupytext.read(default_bake / "lessons" / name)
    nbformat.validate(notebook)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds[0] == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    assert kinds.count("code") >= 4


@pytest.mark.parametrize("name", QUICK)
def test_runs_as_a_script_from_any_folder(name: str, project: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(project / "lessons" / name)],
        cwd=tmp_path,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    figures = re.findall(r"^figure: (.*)$", result.stdout, re.MULTILINE)
    assert figures
    assert [name for name in figures if not (project / name).is_file()] == []
    assert list(tmp_path.iterdir()) == []


def test_runs_as_a_notebook(project: Path) -> None:
    """Converted by jupytext's command, as docs/learn/index.md shows it."""
    lesson = project / "lessons" / NOTEBOOK
    run(project, "jupytext", "--to", "notebook", f"lessons/{NOTEBOOK}")
    notebook = nbformat.read(lesson.with_suffix(".ipynb"), as_version=4)
    place = {"metadata": {"path": str(lesson.parent)}}
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place)
    client.extra_arguments = ["--IPKernelApp.log_level=ERROR"]
    client.execute(env=environment(project))
    kinds = [kind for cell in notebook.cells for output in cell.get("outputs", []) for kind in output.get("data", {})]
    assert "image/png" in kinds


def test_nothing_imports_them(default_bake: Path) -> None:
    files = [*default_bake.glob("src/**/*.py"), *default_bake.glob("tests/**/*.py"), *default_bake.glob("deploy/*.py")]
    others = [file for file in files if file.parent != default_bake / "tests/lessons"]
    assert len(others) > 100
    naming = re.compile(r"^ *(from|import) (course|checks|lessons)\b|import_module\(.*(course|checks|lessons)", re.M)
    assert [file.name for file in others if naming.search(file.read_text(encoding="utf-8"))] == []
