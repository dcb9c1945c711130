"""A sweep file: one search space, for ``wandb sweep`` and for ``tune``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import BaseDistribution

from ...errors import UserError, did_you_mean
from ...models.monitor import MODES, Monitor
from .parameters import constant, distribution, examples, kind_of, option
from .resolved import resolve

GOALS = {"min": "minimize", "max": "maximize"}
ARGS = "${args}"  # what W&B's agent replaces by --name=value of each parameter


@dataclass(frozen=True)
class Sweep:
    """What to search.

    Attributes:
        file: where it stands.
        options: of ``fit`` in its command: the recipe.
        metric: decides, as the recipe's ``monitor`` does within a training.
        space: what is searched, by the name of the option.
        constants: options that every trial has beside the recipe's.
        min_epochs: no trial is stopped before; None stops none.
    """

    file: Path
    options: list[str]
    metric: Monitor
    space: dict[str, BaseDistribution]
    constants: dict[str, str]
    min_epochs: int | None

    @property
    def name(self) -> str:
        return self.file.stem

    def trial_options(self, params: Mapping[str, Any]) -> list[str]:
        """Options that make the recipe a trial."""
        return [*(option(*item) for item in self.constants.items()), *(option(*item) for item in params.items())]

    def require_known_options(self, options: list[str]) -> None:
        """Refuse a parameter that is no option of ``fit``, or a value that it cannot have.

        Raises:
            UserError: naming the sweep file and the option.
        """
        columns = [[(name, value) for value in examples(drawn)] for name, drawn in self.space.items()]
        for row in itertools.zip_longest(*columns):
            try:
                resolve([*options, *self.trial_options(dict(cell for cell in row if cell))])
            except UserError as error:
                raise UserError(f"{self.file}: {error}") from error


def read_sweep(file: Path) -> Sweep:
    """Read and check everything but the names of the parameters.

    Raises:
        UserError: there is no such file, or ``tune`` cannot search it.
    """
    content = read_yaml(file)
    try:
        options = split_command(content.get("command"))
        parameters = parse_parameters(content.get("parameters"))
        space = {name: drawn for name, drawn in parameters.items() if isinstance(drawn, BaseDistribution)}
        constants = {name: text for name, text in parameters.items() if isinstance(text, str)}
        if not space:
            raise UserError(
                "all parameters are constant: there is nothing to search. Give one `values`, or min and max."
            )
        metric, min_epochs = parse_metric(content.get("metric")), parse_min_epochs(content.get("early_terminate"))
        return Sweep(file, options, metric, space, constants, min_epochs)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def read_yaml(file: Path) -> dict[str, Any]:
    if not file.is_file():
        known = [str(path) for path in sorted(Path("configs/sweep").glob("*.yaml"))]
        found = did_you_mean(str(file), known) if known else "No configs/sweep/ folder is here: change to the project."
        raise UserError(f"--sweep is {str(file)!r}, and there is no such file. {found}")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}. Mend that line.") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} is no sweep file: it must have command, metric and parameters.")
    return content


def split_command(command: Any) -> list[str]:
    """The options of ``fit`` in the command of a sweep."""
    words = [str(word) for word in command] if isinstance(command, list) else []
    if "fit" not in words or words[-1] != ARGS:
        raise UserError(
            f"command is {command!r}; it must be a list that runs fit and ends with its parameters: "
            f"[PROGRAM, fit, --config, configs/RECIPE.yaml, {ARGS!r}]."
        )
    return words[words.index("fit") + 1 : -1]


def parse_metric(metric: Any) -> Monitor:
    """The metric, if its goal is the one that it can have."""
    settings = metric if isinstance(metric, dict) else {}
    name, goal = settings.get("name"), settings.get("goal", "minimize")
    for known, mode in MODES.items():
        if known == name and goal != GOALS[mode]:
            raise UserError(f"metric.goal is {goal!r}, and {name} is better the other way: give {GOALS[mode]!r}.")
        if known == name:
            return known
    raise UserError(f"metric.name is {name!r}. {did_you_mean(str(name), MODES)}")


def parse_parameters(parameters: Any) -> dict[str, BaseDistribution | str]:
    """Distributions, and the texts of constants."""
    if not isinstance(parameters, dict) or not parameters:
        raise UserError("it has no parameters. Give names of options of fit, such as model.optimizer.lr.")
    parsed: dict[str, BaseDistribution | str] = {}
    for name, settings in parameters.items():
        if not isinstance(settings, dict):
            raise UserError(
                f"parameter {name!r} is {settings!r}; it must be `value: ...`, `values: [...]` or min and max."
            )
        kind = kind_of(name, settings)
        parsed[name] = constant(name, settings) if kind == "constant" else distribution(name, kind, settings)
    return parsed


def parse_min_epochs(early_terminate: Any) -> int | None:
    if early_terminate is None:
        return None
    settings = early_terminate if isinstance(early_terminate, dict) else {}
    epochs = settings.get("min_iter")
    if settings.get("type") != "hyperband" or not isinstance(epochs, int) or epochs < 1:
        raise UserError(
            f"early_terminate is {early_terminate!r}; it must have type hyperband and min_iter, the epochs before "
            "which no trial is stopped, 1 or more. Leave it out to stop none."
        )
    return epochs
