"""What ``fit`` would run with, for options that nobody has run yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..fit import FitCLI
from ..lightning_cli import CLASSES

Config = dict[str, Any]

BESIDE_THE_RECIPE = ("run", "tracking")  # where a run is kept, and not what it is


class ParsedFit(FitCLI):
    """Parses the options, and neither reads data nor builds or creates anything."""

    def instantiate_classes(self) -> None: ...

    def _run_subcommand(self, subcommand: str) -> None: ...


def resolve(options: Sequence[str]) -> Config:
    """The whole recipe, defaults included, as plain types.

    Raises:
        UserError: an option, class or value is wrong.
    """
    config = ParsedFit(list(options)).resolved_config
    return {section: value for section, value in config.items() if section not in BESIDE_THE_RECIPE}


def defaults_of(config: Config) -> Config:
    """The recipe that names the same classes and nothing else."""
    return resolve([word for section in CLASSES for word in (f"--{section}", config[section]["class_path"])])


def path_of(name: str) -> list[str]:
    """Keys under which a config has an option: ``model.optimizer.lr`` stands in ``init_args`` of ``model``."""
    section, *rest = name.split(".")
    if section not in CLASSES:
        return [section, *rest]
    if rest[:1] in (["init_args"], ["class_path"]):
        return [section, *rest]
    return [section, "init_args", *rest] if rest else [section, "class_path"]


def look_up(config: Config, name: str) -> Any:
    """The value of an option; None where it is not set."""
    value: Any = config
    for key in path_of(name):
        value = value.get(key) if isinstance(value, dict) else None
    return value
