"""Resolves options to the config that ``fit`` would use, without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..fit import FitCLI
from ..lightning_cli import CLASSES

Config = dict[str, Any]

BESIDE_THE_RECIPE = ("run", "tracking")  # sections that do not affect the training


class ParsedFit(FitCLI):
    """Only parses the options; does not read data, build a model or create files."""

    def instantiate_classes(self) -> None: ...

    def _run_subcommand(self, subcommand: str) -> None: ...


def resolve(options: Sequence[str]) -> Config:
    """The complete recipe, including defaults, as plain types.

    Raises:
        UserError: an option, class or value is wrong.
    """
    config = ParsedFit(list(options)).resolved_config
    return {section: value for section, value in config.items() if section not in BESIDE_THE_RECIPE}


def defaults_of(config: Config) -> Config:
    """The complete recipe with the same classes and the default value of every other option."""
    return resolve([word for section in CLASSES for word in (f"--{section}", config[section]["class_path"])])


def path_of(name: str) -> list[str]:
    """Path of an option in a config: ``model.optimizer.lr`` is in ``init_args`` of ``model``."""
    section, *rest = name.split(".")
    if section not in CLASSES:
        return [section, *rest]
    if rest[:1] in (["init_args"], ["class_path"]):
        return [section, *rest]
    return [section, "init_args", *rest] if rest else [section, "class_path"]


def look_up(config: Config, name: str) -> Any:
    """The value of an option; None if it is not set."""
    value: Any = config
    for key in path_of(name):
        value = value.get(key) if isinstance(value, dict) else None
    return value
