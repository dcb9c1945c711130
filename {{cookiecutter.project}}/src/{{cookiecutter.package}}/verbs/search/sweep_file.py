"""Reads sweep files, which define a search space for ``wandb sweep`` and for ``tune``."""

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
ARGS = "${args}"  # placeholder that W&B's agent replaces by --name=value for each parameter


@dataclass(frozen=True)
class Sweep:
    """Content of a sweep file.

    Attributes:
        file: path of the sweep file.
        options: options of ``fit`` in its command, which define the recipe.
        metric: metric to optimise.
        space: distributions of the searched options, by name.
        constants: options that all trials add to the recipe, by name.
        min_epochs: epochs before a trial can be stopped early; None disables early stopping of trials.
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
        """Options that a trial adds to the recipe."""
        return [*(option(*item) for item in self.constants.items()), *(option(*item) for item in params.items())]

    def require_known_options(self, options: list[str]) -> None:
        """Check that every parameter is an option of ``fit`` and that its values are valid.

        Raises:
            UserError: a parameter or value is wrong; the message names the sweep file and the option.
        """
        columns = [[(name, value) for value in examples(drawn)] for name, drawn in self.space.items()]
        for row in itertools.zip_longest(*columns):
            try:
                resolve([*options, *self.trial_options(dict(cell for cell in row if cell))])
            except UserError as error:
                raise UserError(f"{self.file}: {error}") from error


def read_sweep(file: Path) -> Sweep:
    """Read and check a sweep file, except for the names of the parameters.

    Raises:
        UserError: the file does not exist or is not a sweep file that ``tune`` supports.
    """
    content = read_yaml(file)
    try:
        options = split_command(content.get("command"))
        parameters = parse_parameters(content.get("parameters"))
        space = {name: drawn for name, drawn in parameters.items() if isinstance(drawn, BaseDistribution)}
        constants = {name: text for name, text in parameters.items() if isinstance(text, str)}
        if not space:
            raise UserError(
                "all parameters are constant, so there is nothing to search. Give one of them `values`, or min and max."
            )
        metric, min_epochs = parse_metric(content.get("metric")), parse_min_epochs(content.get("early_terminate"))
        return Sweep(file, options, metric, space, constants, min_epochs)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def read_yaml(file: Path) -> dict[str, Any]:
    if not file.is_file():
        known = [str(path) for path in sorted(Path("configs/sweep").glob("*.yaml"))]
        missing = "The working directory has no folder configs/sweep: change to the folder of the project."
        found = did_you_mean(str(file), known) if known else missing
        raise UserError(f"--sweep is {str(file)!r}, but there is no such file. {found}")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}. Correct that line.") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} is not a sweep file: it must contain command, metric and parameters.")
    return content


def split_command(command: Any) -> list[str]:
    """The options of ``fit`` in the command of a sweep."""
    words = [str(word) for word in command] if isinstance(command, list) else []
    if "fit" not in words or words[-1] != ARGS:
        raise UserError(
            f"command is {command!r}; it must be a list that runs fit and ends with {ARGS!r}: "
            f"[PROGRAM, fit, --config, configs/RECIPE.yaml, {ARGS!r}]."
        )
    return words[words.index("fit") + 1 : -1]


def parse_metric(metric: Any) -> Monitor:
    """The metric.

    Raises:
        UserError: the metric is unknown, or the goal is wrong for it.
    """
    settings = metric if isinstance(metric, dict) else {}
    name, goal = settings.get("name"), settings.get("goal", "minimize")
    for known, mode in MODES.items():
        if known == name and goal != GOALS[mode]:
            raise UserError(f"metric.goal is {goal!r}, but the goal of {name} must be {GOALS[mode]!r}.")
        if known == name:
            return known
    raise UserError(f"metric.name is {name!r}. {did_you_mean(str(name), MODES)}")


def parse_parameters(parameters: Any) -> dict[str, BaseDistribution | str]:
    """Distributions of searched parameters and texts of constants, by name."""
    if not isinstance(parameters, dict) or not parameters:
        raise UserError("there are no parameters. Give the names of options of fit, such as model.optimizer.lr.")
    parsed: dict[str, BaseDistribution | str] = {}
    for name, settings in parameters.items():
        if not isinstance(settings, dict):
            raise UserError(
                f"parameter {name!r} is {settings!r}; it must be `value: ...`, `values: [...]`, or min and max."
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
            f"early_terminate is {early_terminate!r}; it must have the type hyperband and min_iter, the number of "
            "epochs before a trial can be stopped, 1 or more. Leave it out to train all trials to the end."
        )
    return epochs
