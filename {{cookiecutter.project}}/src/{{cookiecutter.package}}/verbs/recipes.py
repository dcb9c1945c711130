"""Recipes and overlays, found by path or by name from any working directory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import UserError, did_you_mean

FOLDER = "configs"
PACKAGE = Path(__file__).resolve().parents[1]
# A wheel holds the configs within the package; an editable install has them beside src/.
SHIPPED = (PACKAGE, PACKAGE.parents[1])


def find_recipes(options: Sequence[str]) -> list[str]:
    """The options, with every config as the path of a file that exists, where there is one.

    Words before the first option are configs as well: ``digits_cnn trainer/debug`` stands for
    ``--config configs/digits_cnn.yaml --config configs/trainer/debug.yaml``.

    Raises:
        UserError: such a word names no config.
    """
    found: list[str] = []
    named = len(options)
    for position, option in enumerate(options):
        if option.startswith("-"):
            named = position
            break
        found += ["--config", str(find_named(option))]
    previous = ""
    for option in options[named:]:
        name, is_assigned, value = option.partition("=")
        if previous in {"--config", "-c"}:
            option = str(find_config(option) or option)
        elif is_assigned and name in {"--config", "-c"}:
            option = f"{name}={find_config(value) or value}"
        found.append(option)
        previous = option
    return found


def find_named(name: str) -> Path:
    """The config of this name.

    Raises:
        UserError: there is none.
    """
    file = find_config(name)
    if file is None:
        raise UserError(f"{name!r} is neither an option (which begins with --) nor a recipe. {suggest(name)}")
    return file


def find_config(given: str) -> Path | None:
    """The first file of that path or name; None where there is none.

    Looked for as given, then below the working directory and the folders above it, then among the configs that came
    with the package. The folder ``configs`` and the ending ``.yaml`` may be left out.
    """
    if os.path.isfile(given):  # noqa: PTH113, which answers no for a text that is too long for a path
        return Path(given)
    name = given if given.endswith((".yaml", ".yml")) else f"{given}.yaml"
    files = (base / folder / name for base in bases() for folder in ("", FOLDER))
    return next((file for file in files if os.path.isfile(file)), None)  # noqa: PTH113


def bases() -> Iterator[Path]:
    """Folders that may hold a folder of configs, the nearest first."""
    here = Path.cwd()
    yield from (here, *here.parents)
    yield from SHIPPED


def suggest(given: str) -> str:
    """The end of an error message: the nearest recipe, and all there are."""
    folder = next(base / FOLDER for base in bases() if any((base / FOLDER).glob("*.yaml")))
    return did_you_mean(Path(given).stem, (file.stem for file in folder.glob("*.yaml")))
