"""Answers that cannot work are refused in one sentence, and leave nothing behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from baking import QUESTIONS, cookiecutter

NO_IMPORT_NAME = "is no import name"
KEYWORD = "is a keyword"
STANDARD_LIBRARY = "is a module of Python's standard library"
USED = "the project itself uses"
DEVICE = "a device on Windows"
NO_REPOSITORY_NAME = "is no repository name"
CONTROL = "holds a line break or another control character"

REFUSED = [
    *(("package", value, NO_IMPORT_NAME) for value in ["my-leaves", "1leaf", "Leaves", "blätter"]),
    *(("package", value, NO_IMPORT_NAME) for value in ["", "a.b", "a b", "_leaves", "x;import os"]),
    *(("package", value, KEYWORD) for value in ["class", "import", "match", "type"]),
    *(("package", value, STANDARD_LIBRARY) for value in ["json", "logging", "site"]),
    *(("package", value, USED) for value in ["torch", "lightning", "wandb", "tests", "sklearn"]),
    *(("project", value, DEVICE) for value in ["con", "CON.txt", "nul", "com1", "lpt9.tar.gz"]),
    *(("project", value, NO_REPOSITORY_NAME) for value in ["-leaf", ".leaf", "leaf.", "leaf "]),
    *(("project", value, NO_REPOSITORY_NAME) for value in ["a b", "blatt-ä", "leaf_", "$(leaf)"]),
    *(("project", f"a{character}b", NO_REPOSITORY_NAME) for character in '<>"|?*'),
    *(("project", value, USED) for value in ["torch", "scikit-learn", "PyTorch.Lightning"]),
    *(("project_title", value, CONTROL) for value in ["a\nb", "a\u2028b", "a\tb", "a\x1b[31mb"]),
    *((question, "a\nb", CONTROL) for question in ["project", "package", "description", "author"]),
    ("wandb_entity", "a\x7fb", CONTROL),
    ("project_title", " ", "is blank"),
    ("author", "", "is blank"),
]


def refuse(root: Path, **answers: str) -> str:
    """What is printed when `answers` are refused; checks that no file and no folder is left."""
    names = {"project_title": "Leaf", "project": "leaf", "package": "leaf", "author": "Ada"}
    given = (f"{question}={answer}" for question, answer in (names | answers).items())
    output = root / "inner/out"
    result = cookiecutter(output, "--no-input", *given)
    assert result.returncode == 1, result.stdout
    left = {path.relative_to(root).as_posix() for path in root.rglob("*")}
    assert {name for name in left if "out-home" not in name} == {"inner", "inner/out"}
    return result.stderr


@pytest.mark.parametrize(("question", "value", "reason"), REFUSED)
def test_refused_with_its_reason(question: str, value: str, reason: str, tmp_path: Path) -> None:
    sentence = refuse(tmp_path, **{question: value}).splitlines()[0]
    assert sentence.startswith(f"{question} {value!r} ")
    assert reason in sentence


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "../evil", "../x/y", "a\\b", "c:leaf"])
def test_project_stays_in_the_output_folder(value: str, tmp_path: Path) -> None:
    error = refuse(tmp_path, project=value).splitlines()[-1]
    assert re.search(rf"project '{re.escape(ascii(value)[1:-1])}' is no folder name", error)


def test_absolute_project_is_refused(tmp_path: Path) -> None:
    assert "is no folder name" in refuse(tmp_path, project=str(tmp_path / "evil/leaf"))


def test_every_bad_answer_is_named(tmp_path: Path) -> None:
    sentences = refuse(tmp_path, project="con", package="class", author="").splitlines()[:3]
    assert {sentence.split()[0] for sentence in sentences} == {"project", "package", "author"}


def test_existing_folder_is_kept(tmp_path: Path) -> None:
    keep = tmp_path / "out/con/notes.txt"
    keep.parent.mkdir(parents=True)
    keep.write_text("mine", encoding="utf-8")
    result = cookiecutter(tmp_path / "out", "--no-input", "-f", "project=con", "package=leaf")
    assert result.returncode == 1
    assert [path.name for path in keep.parent.iterdir()] == ["notes.txt"]


def test_unknown_license_in_a_file_is_refused(tmp_path: Path) -> None:
    """Only cookiecutter's own command line and prompt check a choice."""
    answers = dict.fromkeys(QUESTIONS, "leaf") | {"license": "GPL-3.0"}
    file = tmp_path / "answers.json"
    file.write_text(json.dumps({"cookiecutter": answers}), encoding="utf-8")
    result = cookiecutter(tmp_path / "out", "--replay-file", str(file))
    assert result.returncode == 1
    assert "license 'GPL-3.0' is not offered; choose one of MIT," in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("value", ["GPL-3.0", "mit", ""])
def test_unknown_license_is_refused(value: str, tmp_path: Path) -> None:
    result = cookiecutter(tmp_path / "out", "--no-input", f"license={value}")
    assert result.returncode == 1
    assert f"{value} provided for choice variable license" in result.stderr
