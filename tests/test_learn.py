"""The pages of docs/learn: lessons are shown as they are, and options, values, verbs and files exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import jupytext
import pytest
from baking import TEMPLATE

LEARN = TEMPLATE / "docs/learn"
PAGES = sorted(LEARN.glob("[0-9]*.md"))
DICTIONARY = (LEARN / "dictionary.md").read_text(encoding="utf-8")
ROWS = [re.split(r" \| ", row.strip("| ")) for row in DICTIONARY.splitlines() if row.startswith("| ") and "`" in row]
OPTION = re.compile(r"--[a-z_]+(?:\.[a-z_]+)*")
CODE = re.compile(r"`([^`]+)`")
OTHERWISE = {"--data", "--model", "--config", "--resume", "--init_from"}  # given otherwise, or need a run
# Models, each with a data set, so that together they have all options.
MODELS = {
    "MLPClassifier": "MNISTDataModule",
    "CNNClassifier": "ImageFolderDataModule",
    "TransferClassifier": "DigitsDataModule",
}
# Runs verbs in one process and prints, as JSON, the status and the output of each.
RUNNER = """
import contextlib, io, json, sys
from image_classifier.cli import main

results = []
for words in json.load(sys.stdin):
    printed, status = io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main(words)
        except SystemExit as end:
            status = end.code or 0
    results.append((status, printed.getvalue()))
print(json.dumps(results))
"""


def run(project: Path, commands: Iterable[list[str]]) -> list[str]:
    """What each command prints, all of them in one process; none may fail."""
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "COLUMNS": "200"}
    result = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(list(commands)),
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    results = json.loads(result.stdout)
    assert [printed for status, printed in results if status] == []
    return [printed for _, printed in results]


@pytest.fixture(scope="module")
def options(default_bake: Path) -> dict[str, set[str]]:
    """The options of each verb, and, by the name of a model, those of a training of that model."""
    verbs = re.findall(r"^  (\w+) ", run(default_bake, [["--help"]])[0], re.MULTILINE)
    commands = {model: ["fit", *choice(model), "--help-all"] for model in MODELS}
    commands |= {verb: [verb, "--help"] for verb in verbs if verb != "fit"}
    printed = dict(zip(commands, run(default_bake, commands.values()), strict=True))
    found = {name: {"--help", "--help-all", *OPTION.findall(text)} for name, text in printed.items()}
    return {**found, "fit": set().union(*(found[model] for model in MODELS))}


def choice(model: str) -> list[str]:
    return ["--data", MODELS[model], "--model", model]


# The pages of the lessons.


def lesson_of(page: Path, project: Path) -> Path:
    return project / "lessons" / f"{page.stem}.py"


def test_each_lesson_has_a_page(default_bake: Path) -> None:
    assert PAGES
    assert [page.stem for page in PAGES] == [file.stem for file in sorted(default_bake.glob("lessons/[0-9]*.py"))]
    index = (LEARN / "index.md").read_text(encoding="utf-8")
    navigation = (TEMPLATE / "mkdocs.yml").read_text(encoding="utf-8")
    assert [
        page.name for page in PAGES if f"({page.name})" not in index or f"learn/{page.name}" not in navigation
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_shows_the_lesson_as_it_is(page: Path, default_bake: Path) -> None:
    """All of its text and code, in its order; if not, `make lessons` writes the page again."""
    text, position = page.read_text(encoding="utf-8"), 0
    for cell in jupytext.read(lesson_of(page, default_bake)).cells:
        # A note on how to run the lesson stands between the title and the text of its first cell.
        for part in cell.source.split("\n", 1) if position == 0 else [cell.source]:
            shown = f"```python\n{part}\n```" if cell.cell_type == "code" else part.strip()
            assert shown in text[position:], f"{page.name} is out of date: run make lessons"
            position = text.index(shown, position) + len(shown)


def test_pages_show_all_figures_and_no_others() -> None:
    shown = [name for page in PAGES for name in re.findall(r"!\[[^]]+\]\(images/([^)]+)\)", page.read_text("utf-8"))]
    assert {name[:2] for name in shown} == {page.name[:2] for page in PAGES}  # at least one a lesson
    assert sorted(shown) == sorted(file.name for file in LEARN.glob("images/*"))
    assert [file.name for file in LEARN.glob("images/*") if file.stat().st_size > 150_000] == []


@pytest.mark.parametrize("page", sorted(LEARN.glob("*.md")), ids=lambda page: page.stem)
def test_lists_begin_after_an_empty_line(page: Path) -> None:
    """The site's Markdown takes them for a part of the paragraph otherwise, which a notebook does not."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r"^(?![-*\d# ]|\s*$).+\n(?:[-*]|\d\.) .*", text, re.MULTILINE) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_of_the_lesson_exist(page: Path, default_bake: Path, options: dict[str, set[str]]) -> None:
    text = lesson_of(page, default_bake).read_text(encoding="utf-8")
    arguments = "".join(re.findall(r"def __init__\(self, (.*)\*\*loading", text))  # of data sets that it defines
    known = {"--extra", *(f"--data.{name}" for name in re.findall(r"(\w+): ", arguments))}  # the first one is uv's
    assert set(OPTION.findall(text)) - known - set().union(*options.values()) == set()


# The dictionary.


def commands_of_dictionary() -> list[list[str]]:
    """Words of the third column: a verb with its options, or options of ``fit``."""
    spans = [span for row in ROWS for span in CODE.findall(row[2])]
    return [
        shlex.split(span) if not span.startswith("--") else ["fit", *shlex.split(span)]
        for span in spans
        if "--" in span
    ]


def test_dictionary_has_rows_of_four_columns() -> None:
    assert len(ROWS) > 40
    assert [row for row in ROWS if len(row) != 4] == []


def test_options_of_the_dictionary_exist(options: dict[str, set[str]]) -> None:
    named = [(words[0], word) for words in commands_of_dictionary() for word in words if word.startswith("--")]
    assert len(named) > 40
    assert [(verb, name) for verb, name in named if name not in options[verb]] == []


def test_values_of_the_dictionary_are_allowed(default_bake: Path, options: dict[str, set[str]]) -> None:
    """All that a model has in one command, which trains nothing."""
    given = [words[1:] for words in commands_of_dictionary() if words[0] == "fit" and words[1] not in OTHERWISE]
    chosen = {model: [w for words in given if words[0] in options[model] for w in words] for model in MODELS}
    assert {words[0] for words in given} <= {word for words in chosen.values() for word in words}
    run(default_bake, [["fit", *choice(model), *words, "--print_config"] for model, words in chosen.items()])


def test_files_of_the_dictionary_exist(default_bake: Path) -> None:
    files = {file for row in ROWS for file in CODE.findall(row[3])}
    assert len(files) > 20
    missing = {file for file in files if not (default_bake / "src/image_classifier" / file).is_file()}
    assert {file for file in missing if not (default_bake / file).is_file()} == set()


# The first project; tests/test_commands.py runs the commands of its page on a few random images.


@pytest.mark.skipif("CLASSIFIER_DATA" not in os.environ, reason="CLASSIFIER_DATA does not name a folder with MNIST/raw")
def test_the_tutorial_learns_mnist(default_bake: Path, tmp_path: Path) -> None:
    """Its one command, for one of the five epochs, on the real images."""
    page = (LEARN / "first-project.md").read_text(encoding="utf-8").replace("\\\n", " ")
    command = next(line for line in page.splitlines() if "MNISTDataModule" in line and line.startswith("uv run"))
    words = shlex.split(command)[3:]
    more = ["--data.root", os.environ["CLASSIFIER_DATA"], "--trainer.max_epochs", "1", "--tracking.wandb", "off"]
    run(default_bake, [[*words, *more, "--run.directory", str(tmp_path / "run")]])
    summary = json.loads((tmp_path / "run/summary.json").read_text(encoding="utf-8"))
    assert summary["num_parameters"] == 101_770
    assert summary["num_test_images"] == 10_000
    assert 0.93 < summary["test/acc"] < 0.975
