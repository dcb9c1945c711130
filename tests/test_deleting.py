"""Each tool can be deleted, and so can W&B, streaming and the lessons: its verb is gone, and everything else works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path("src/image_classifier")
SAMPLE = "test_digits or test_mlp or test_version or test_help_lists"


class Part(NamedTuple):
    """What is deleted: paths, and lines that name them in files that stay; and the verbs that are then gone."""

    verbs: set[str]
    paths: tuple[str, ...]
    lines: dict[str, str] = {}  # noqa: RUF012, never changed


def tool(name: str, *verbs: str) -> Part:
    return Part(set(verbs), (f"{PACKAGE}/tools/{name}*", f"tests/tools/{name}", f"tests/tools/test_{name}.py"))


PARTS = {
    "audit": tool("audit", "audit"),
    "compare": tool("compare", "compare"),
    "demo": tool("demo", "demo"),
    "doctor": tool("doctor", "doctor"),
    "export": tool("export", "export"),
    "evaluate": tool("evaluate", "test", "validate"),
    "pack": tool("pack", "pack"),
    "predict": tool("predict", "predict"),
    "report": tool("report", "report"),
    "split": tool("split", "split"),
    "tune": tool("tune", "tune"),
    "W&B": Part(
        set(),
        (f"{PACKAGE}/tools/tracking.py", "configs/tracking", "tests/tools/tracking"),
        {"configs/trainer/debug.yaml": r"^tracking:\n(  .*\n)+"},
    ),
    "streaming": Part(
        {"pack"},
        (
            f"{PACKAGE}/engine/streaming",
            f"{PACKAGE}/data/streaming.py",
            f"{PACKAGE}/tools/pack",
            "tests/tools/test_pack.py",
            "tests/data/test_streaming.py",
            "tests/data/packed_before.zip",
            "tests/engine/streaming",
            "tests/object_server.py",
        ),
        {f"{PACKAGE}/data/__init__.py": r"^.*Streaming.*\n"},
    ),
    "lessons": Part(set(), ("lessons",)),  # their tests are then not collected
}


def run(project: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    command = [sys.executable, "-m", *words]
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def verbs(project: Path) -> set[str]:
    return set(re.findall(r"^  (\w+) ", run(project, "image_classifier", "--help"), re.MULTILINE))


def test_every_tool_is_in_the_table(default_bake: Path) -> None:
    found = {
        path.stem for path in (default_bake / PACKAGE / "tools").iterdir() if path.stem not in {"__init__", "pages"}
    }
    assert found == {"tracking", *PARTS} - {"W&B", "streaming", "lessons"}


@pytest.mark.parametrize("name", PARTS)
def test_the_rest_works_without(name: str, default_bake: Path, tmp_path: Path) -> None:
    project, part = shutil.copytree(default_bake, tmp_path / "project"), PARTS[name]
    before = verbs(project)
    for pattern in part.paths:
        for path in project.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for file, line in part.lines.items():
        text, number = re.subn(line, "", (project / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert number
        (project / file).write_text(text, encoding="utf-8")
    assert verbs(project) == before - part.verbs
    debug = ["--config", "configs/digits_mlp.yaml", "--config", "configs/trainer/debug.yaml"]
    directory = Path(run(project, "image_classifier", "fit", *debug).splitlines()[-1])
    assert (project / directory / "summary.json").is_file()
    assert (project / directory / "report.html").is_file() == (name != "report")
    assert re.search(r"[1-9]\d* passed", run(project, "pytest", "-q", "tests", "-k", SAMPLE))  # collects all tests
