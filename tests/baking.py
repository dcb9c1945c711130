"""Run cookiecutter on this template as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[1]
PROJECT_TREE = TEMPLATE / "{{cookiecutter.project}}"
SETTINGS = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
QUESTIONS = [name for name in SETTINGS if not name.startswith("_")]


def cookiecutter(output: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Generate into `output`, made if need be, away from the settings of whoever runs the tests."""
    output.mkdir(parents=True, exist_ok=True)
    home = output.with_name(f"{output.name}-home")
    command = [sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--default-config"]
    return subprocess.run(
        [*command, "--output-dir", str(output), *arguments],
        input=typed,
        env={**os.environ, "HOME": str(home), "USERPROFILE": str(home), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def baked(output: Path, result: subprocess.CompletedProcess[str]) -> Path:
    """The one folder that a successful run has made."""
    assert result.returncode == 0, result.stdout + result.stderr
    (project,) = output.iterdir()
    return project


def bake(output: Path, **answers: str) -> Path:
    """Bake unattended, with `answers` on the command line."""
    given = (f"{question}={answer}" for question, answer in answers.items())
    return baked(output, cookiecutter(output, "--no-input", *given))


def bake_at_the_prompt(output: Path, **answers: str) -> Path:
    """Bake with `answers` typed, and Enter for each question that is not among them."""
    if "license" in answers:
        answers["license"] = str(1 + SETTINGS["license"].index(answers["license"]))
    typed = "".join(f"{answers.get(question, '')}\n" for question in QUESTIONS)
    return baked(output, cookiecutter(output, typed=typed))


def bake_from_file(output: Path, **answers: str) -> Path:
    """Bake unattended from a file of answers, which cookiecutter does not render."""
    file = output.with_name(f"{output.name}.json")
    file.write_text(json.dumps({"cookiecutter": answers}), encoding="utf-8")
    return baked(output, cookiecutter(output, "--replay-file", str(file)))
