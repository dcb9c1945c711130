"""Imports go one way; the contracts stand in pyproject.toml."""

import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_imports_go_one_way() -> None:
    words = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    result = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 kept, 0 broken" in result.stdout


def test_the_engine_names_no_data_set_and_no_model_of_the_project() -> None:
    from {{cookiecutter.package}}.data import DATA_MODULES
    from {{cookiecutter.package}}.models import CLASSIFIERS

    engine = PROJECT / "src" / "{{cookiecutter.package}}" / "engine"
    own = {*DATA_MODULES, *CLASSIFIERS}
    named = {name for file in engine.rglob("*.py") for name in own if name in file.read_text(encoding="utf-8")}
    assert named <= {"TransferClassifier", "MLPClassifier", "CNNClassifier"}  # in messages, as advice


def test_nothing_that_is_read_is_executed() -> None:
    """See docs/security.md."""
    modules = r"pickle\.loads?\(|import (marshal|shelve|joblib)\b|weights_only=False"
    dangerous = re.compile(modules + r"|(?<![.\w])(eval|exec)\(|yaml\.(unsafe_|full_)?load\((?!text, SafeLoader\))")
    for file in (PROJECT / "src").rglob("*.py"):
        assert [line for line in file.read_text(encoding="utf-8").splitlines() if dangerous.search(line)] == [], file
