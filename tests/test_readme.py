"""Every `fit` that a project's README shows can be typed as it stands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from baking import PROJECT_TREE

FENCE = re.compile(r"^ *```bash\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
README = (PROJECT_TREE / "README.md").read_text(encoding="utf-8")


def fit_commands() -> list[list[str]]:
    """The words after `fit` of every command that is shown, comments left out."""
    blocks = (block.replace("\\\n", " ") for block in FENCE.findall(README))
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words[words.index("fit") + 1 :] for words in lines if "fit" in words]


def needs_no_data(words: list[str]) -> bool:
    return any(word.startswith("configs/digits_") for word in words)


def fit(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the project's own command, on the source in `project`, from a file as an installer writes it."""
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, function = metadata["scripts"][project.name].split(":")
    command = project.parent / "bin" / project.name
    command.parent.mkdir(exist_ok=True)
    command.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    return subprocess.run(
        [sys.executable, str(command), "fit", *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_readme_shows_how_to_fit() -> None:
    assert any(needs_no_data(words) for words in fit_commands())


@pytest.mark.parametrize("words", fit_commands(), ids=" ".join)
def test_configs_exist(words: list[str], default_bake: Path) -> None:
    configs = [words[i + 1] for i, word in enumerate(words) if word in ("-c", "--config")]
    assert configs or words in (["--help"], ["--resume", "last"])
    assert [name for name in configs if not (default_bake / name).is_file()] == []


@pytest.mark.parametrize("words", [w for w in fit_commands() if needs_no_data(w)], ids=" ".join)
def test_command_runs_in_debug_mode(words: list[str], default_bake: Path, tmp_path: Path) -> None:
    project = shutil.copytree(default_bake, tmp_path / "image-classifier")
    overlays = ("configs/trainer/debug.yaml", "configs/tracking/none.yaml")
    result = fit(project, *words, *(word for name in overlays for word in ("--config", name)))
    assert result.returncode == 0, result.stdout + result.stderr
