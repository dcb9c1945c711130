"""Finds recipes by name, and parses the options of verbs without a trainer."""

import argparse
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ..errors import UserError, did_you_mean, program_name
from .private import options_of_parser

FOLDER = "configs"


def find_recipes(options: Sequence[str]) -> list[str]:
    """Replace the names of configs in the options by the paths of their files.

    Words before the first option are names of configs too: ``digits_cnn trainer/debug`` means
    ``--config configs/digits_cnn.yaml --config configs/trainer/debug.yaml``.
    """
    found: list[str] = []
    words = list(takewhile(lambda option: not option.startswith("-"), options))
    for word in words:
        file = find_config(word)
        if file is None:
            raise UserError(f"{word!r} is neither an option (these begin with --) nor a recipe. {suggest(word)}")
        found += ["--config", str(file)]
    for option in options[len(words) :]:
        name, is_assigned, value = option.partition("=")
        if found and found[-1] in {"--config", "-c"}:
            found.append(str(find_config(option) or option))
        elif is_assigned and name in {"--config", "-c"}:
            found.append(f"{name}={find_config(value) or value}")
        else:
            found.append(option)
    return found


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
    yield from (Path.cwd(), *Path.cwd().parents)
    package = Path(__file__).resolve().parents[1]
    # A wheel contains the configs inside the package; an editable install has them next to src/.
    yield from (package, package.parents[1])


def suggest(given: str) -> str:
    """End of an error message: the most similar recipe, and all recipes."""
    folder = next(base / FOLDER for base in bases() if any((base / FOLDER).glob("*.yaml")))
    return did_you_mean(Path(given).stem, (file.stem for file in folder.glob("*.yaml")))


def run_name(options: Sequence[str], classes: Mapping[str, str]) -> str:
    """Name of a run: that of its recipe, else one made of the names of its ``classes``, such as ``digits_cnn``.

    The recipe is the first config in the options that names a data set or a model, which are the keys of ``classes``.
    """
    for file in map(Path, values_of(options, "--config", "-c")):
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return file.stem  # the parser reports the error
        if not isinstance(content, dict) or content.keys() & classes.keys():
            return file.stem
    short = [name.removesuffix("DataModule").removesuffix("Classifier") or name for name in classes.values()]
    return "_".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name) for name in short).lower()


def values_of(options: Sequence[str], *names: str) -> list[str]:
    """Values of an option on a command line, in order."""
    pairs = [option.partition("=") for option in options]
    return [
        value if equals else options[position + 1]
        for position, (name, equals, value) in enumerate(pairs)
        if name in names and (equals or position + 1 < len(options))
    ]


class VerbParser(argparse.ArgumentParser):
    """An ``ArgumentParser`` for one verb, which keeps line breaks in its texts and raises UserError for mistakes."""

    def __init__(self, verb: str, description: str | None, epilog: str = "", **options: Any) -> None:
        super().__init__(
            f"{program_name()} {verb}",
            description=description and description.replace("``", ""),
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **options,
        )

    def error(self, message: str) -> NoReturn:
        if unknown := re.search(r"unrecognized arguments: (--[^\s=]+)", message):
            names = [name for option in options_of_parser(self) for name in option.option_strings]
            hint = did_you_mean(unknown[1], [name for name in names if name.startswith("--")])
            raise UserError(f"there is no option {unknown[1]!r}. {hint}")
        message = re.sub(r"^argument ([\w-]+)(?:/[\w-]+)*: is ", r"\1 is ", message).rstrip(".")
        raise UserError(f"{message}. All options: {self.prog} --help")
