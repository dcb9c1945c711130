"""A project holds the files of the template's tree, rendered or copied, and no other."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from baking import PROJECT_TREE, SETTINGS

MARKER = re.compile(r"\{\{|\{%|cookiecutter")
PARSERS: dict[str, Any] = {
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}


def template_files() -> list[str]:
    """Paths in the project's tree: what is in git, or would be at the next `git add`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT_TREE, capture_output=True, text=True, check=True)
    files = [name for name in listed.stdout.split("\0") if (PROJECT_TREE / name).is_file()]
    assert files
    return files


def baked_name(name: str) -> str:
    return name.replace("{{cookiecutter.package}}", "image_classifier")


def is_copied(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in SETTINGS["_copy_without_render"])


COPIED = [name for name in template_files() if is_copied(name)]


def test_exact_file_set(default_bake: Path) -> None:
    baked = [path for path in default_bake.rglob("*") if path.is_file()]
    names = {path.relative_to(default_bake).as_posix() for path in baked}
    assert names == {baked_name(name) for name in template_files()}


def test_all_python_of_the_package_is_copied() -> None:
    assert {name for name in template_files() if fnmatch(name, "src/*.py")} <= set(COPIED)


@pytest.mark.parametrize("name", COPIED)
def test_copied_byte_for_byte(default_bake: Path, name: str) -> None:
    assert (default_bake / baked_name(name)).read_bytes() == (PROJECT_TREE / name).read_bytes()


def test_no_marker_is_left(default_bake: Path) -> None:
    rendered = [default_bake / baked_name(n) for n in template_files() if not is_copied(n) and not n.endswith(".zip")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in rendered}
    assert {name: MARKER.findall(text) for name, text in texts.items() if MARKER.search(text)} == {}


def test_modes_are_kept(default_bake: Path) -> None:
    for name in template_files():
        mode = (default_bake / baked_name(name)).stat().st_mode
        assert mode == (PROJECT_TREE / name).stat().st_mode, name


def test_every_file_parses(default_bake: Path) -> None:
    files = [path for path in default_bake.rglob("*") if path.suffix in PARSERS]
    assert {path.suffix for path in files} >= {".toml", ".yaml", ".yml"}
    for path in files:
        assert PARSERS[path.suffix](path.read_text(encoding="utf-8")) is not None, path


def test_settings_parse_before_they_are_rendered() -> None:
    """So that Ruff, editors and review work on the template in place."""
    settings = tomllib.loads((PROJECT_TREE / "pyproject.toml").read_text(encoding="utf-8"))
    assert "ruff" in settings["tool"]
