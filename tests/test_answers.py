"""Answers are data: they arrive intact where they are shown, and break no file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from baking import bake, bake_at_the_prompt, bake_from_file, cookiecutter

ORDINARY = {
    "project_title": "Leaf Doctor",
    "project": "leaf-doctor",
    "package": "leaves",
    "description": "Names the disease of a leaf.",
    "author": "Ada Lovelace",
    "license": "BSD-3-Clause",
    "wandb_entity": "botany",
}

QUOTES = """It's "quoted" ''' \"\"\" `ticks` end\""""
BACKSLASHES = r"C:\new\table \u0041 \N{DASH} \" \' \\ end" + "\\"
UNICODE = "Café Müller 猫 🙂 👩\u200d🔬 \u202eabc"
MARKS = "# a: [b] {c} & <d> | 100 % %22 %0a * ~ ! @ $HOME ${e} - #"
JINJA = "{{ cookiecutter.x }} {{ 7 * 7 }} {% raw %} {# no comment #} }} {{"


def leaves(tree: Any) -> Iterator[Any]:
    """The scalars of nested dictionaries and lists."""
    if isinstance(tree, dict | list):
        for branch in tree.values() if isinstance(tree, dict) else tree:
            yield from leaves(branch)
    else:
        yield tree


def assert_intact(project: Path, answers: dict[str, str]) -> None:
    """Every file that shows an answer shows it as it was given."""
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["name"] == project.name == answers["project"]
    assert metadata["description"] == answers["description"]
    assert metadata["authors"] == [{"name": answers["author"]}]
    assert (project / "src" / answers["package"] / "__init__.py").is_file()
    tracking = yaml.safe_load((project / "configs/tracking/wandb.yaml").read_text(encoding="utf-8"))
    assert answers["wandb_entity"] in leaves(tracking)
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert answers["project_title"] in readme
    assert answers["description"] in readme
    assert answers["author"] in (project / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("give", [bake, bake_at_the_prompt, bake_from_file])
def test_ordinary_answers(give: Any, tmp_path: Path) -> None:
    assert_intact(give(tmp_path / "out", **ORDINARY), ORDINARY)


@pytest.mark.parametrize("give", [bake_at_the_prompt, bake_from_file])
@pytest.mark.parametrize("text", [QUOTES, BACKSLASHES, UNICODE, MARKS, JINJA])
def test_hostile_answers(give: Any, text: str, tmp_path: Path) -> None:
    hostile = dict.fromkeys(("project_title", "description", "author", "wandb_entity"), text)
    assert_intact(give(tmp_path / "out", **(ORDINARY | hostile)), ORDINARY | hostile)


@pytest.mark.parametrize("text", [QUOTES, BACKSLASHES, UNICODE, MARKS])
def test_hostile_answers_on_the_command_line(text: str, tmp_path: Path) -> None:
    hostile = dict.fromkeys(("project_title", "description", "author", "wandb_entity"), text)
    assert_intact(bake(tmp_path / "out", **(ORDINARY | hostile)), ORDINARY | hostile)


def test_raw_keeps_braces_on_the_command_line(tmp_path: Path) -> None:
    """Cookiecutter renders an answer given there; that cannot be switched off."""
    given = ORDINARY | {"author": "{% raw %}{{ Ada }}{% endraw %}"}
    assert_intact(bake(tmp_path / "out", **given), ORDINARY | {"author": "{{ Ada }}"})


def test_bare_braces_on_the_command_line_stop(tmp_path: Path) -> None:
    result = cookiecutter(tmp_path / "out", "--no-input", "author={{ Ada }}")
    assert result.returncode == 1
    assert "Unable to render variable 'author'" in result.stdout
    assert list((tmp_path / "out").iterdir()) == []


def test_blank_entity_means_the_personal_default(default_bake: Path) -> None:
    tracking = (default_bake / "configs/tracking/wandb.yaml").read_text(encoding="utf-8")
    assert not any(leaf == "" for leaf in leaves(yaml.safe_load(tracking)))
