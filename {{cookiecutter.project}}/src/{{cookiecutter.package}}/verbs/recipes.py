"""Finds recipes and overlays by path or by name, from any working directory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import UserError, did_you_mean

FOLDER = "configs"
PACKAGE = Path(__file__).resolve().parents[1]
# A wheel contains the configs inside the package; an editable install has them next to src/.
SHIPPED = (PACKAGE, PACKAGE.parents[1])


def find_recipes(options: Sequence[str]) -> list[str]:
    """Replace the names of configs in the options by the paths of their files.

    Words before the first option are names of configs too: ``digits_cnn trainer/debug`` means
    ``--config configs/digits_cnn.yaml --config configs/trainer/debug.yaml``.

    Raises:
        UserError: a word before the first option is not the name of a config.
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
    """Path of the config with the given name.

    Raises:
        UserError: there is no such config.
    """
    file = find_config(name)
    if file is None:
        raise UserError(f"{name!r} is neither an option (these begin with --) nor a recipe. {suggest(name)}")
    return file


def find_config(given: str) -> Path | None:
    """Path of the first config with the given path or name; None if there is none.

    The file is searched at the given path, in the working directory and its parents, and among the configs of the
    package, in this order. The folder ``configs`` and the extension ``.yaml`` can be left out.
    """
    if os.path.isfile(given):  # noqa: PTH113, it returns False for text that is too long for a path
        return Path(given)
    name = given if given.endswith((".yaml", ".yml")) else f"{given}.yaml"
    files = (base / folder / name for base in bases() for folder in ("", FOLDER))
    return next((file for file in files if os.path.isfile(file)), None)  # noqa: PTH113


def bases() -> Iterator[Path]:
    """Folders that may contain a folder of configs, nearest first."""
    here = Path.cwd()
    yield from (here, *here.parents)
    yield from SHIPPED


def suggest(given: str) -> str:
    """End of an error message: the most similar recipe, and all recipes."""
    folder = next(base / FOLDER for base in bases() if any((base / FOLDER).glob("*.yaml")))
    return did_you_mean(Path(given).stem, (file.stem for file in folder.glob("*.yaml")))
