"""Writes ``best.yaml``, the best recipe of a search, in the form of the recipes in ``configs/``."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .resolved import Config, defaults_of, look_up, path_of, resolve

FILE_NAME = "best.yaml"
LINE_LENGTH = 120
ORDER = {"data": 0, "model": 1, "trainer": 3}  # all other sections in between


def write_recipe(file: Path, command: str, options: Sequence[str], searched: Sequence[str], story: str) -> None:
    """Write a config that repeats ``fit`` with these options.

    Args:
        file: YAML file to write.
        command: command that trains the recipe.
        options: options of ``fit``.
        searched: names of the searched options, which are written even if they have their default value.
        story: origin and result of the recipe, for the comment at the top of the file.
    """
    card = [*comment("The best recipe of a search."), "#", f"#     {command}", "#", *comment(story)]
    config = yaml.safe_dump(stated(options, searched), sort_keys=False, allow_unicode=True, default_flow_style=None)
    file.write_text("\n".join(card) + "\n" + config, encoding="utf-8")


def comment(text: str) -> list[str]:
    return textwrap.wrap(text, LINE_LENGTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def stated(options: Sequence[str], searched: Sequence[str]) -> Config:
    """The sections of a recipe: class names, values that differ from the defaults, and searched values."""
    config = resolve(options)
    differing = difference(config, defaults_of(config))
    for name in searched:
        put(differing, path_of(name), look_up(config, name))
    return dict(sorted(differing.items(), key=lambda section: ORDER.get(section[0], 2)))


def difference(config: Config, defaults: Config) -> Config:
    """The values of ``config`` that differ from ``defaults``; class names are always included."""
    result: Config = {}
    for key, value in config.items():
        if isinstance(value, dict) and isinstance(defaults.get(key), dict):
            inner = difference(value, defaults[key])
            result |= {key: inner} if inner else {}
        elif key == "class_path" or key not in defaults or value != defaults[key]:
            result[key] = value
    return result


def put(config: Config, path: Sequence[str], value: Any) -> None:
    *parents, last = path
    for key in parents:
        config = config.setdefault(key, {})
    config[last] = value
