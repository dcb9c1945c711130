"""Reads sweep files, which define a search space for ``wandb sweep`` and for ``tune``."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ...engine.reading import read_yaml
from ...errors import UserError, did_you_mean
from ...facts import mode_of
from ...models.classifier import MONITORS

ARGS = "${args}"  # placeholder that W&B's agent replaces by --name=value for each parameter
KINDS = ("constant", "categorical", "int_uniform", "uniform", "log_uniform_values", "q_uniform")
KEYS = {"distribution", "value", "values", "min", "max", "q"}


@dataclass(frozen=True)
class Sweep:
    """Content of a sweep file."""

    file: Path
    options: list[str]  # of ``fit`` in its command, which define the recipe
    metric: str  # to optimise
    space: dict[str, BaseDistribution]  # of the searched options, by name
    constants: dict[str, str]  # options that all trials add to the recipe, by name
    min_epochs: int | None  # before a trial can be stopped early; None disables early stopping of trials

    @property
    def name(self) -> str:
        return self.file.stem

    def trial_options(self, params: Mapping[str, Any]) -> list[str]:
        """Options that a trial adds to the recipe."""
        return [f"--{name}={text_of(value)}" for name, value in [*self.constants.items(), *params.items()]]


def text_of(value: Any) -> str:
    """The text of a value in an option; a number has four significant digits, since more have no effect."""
    return str(float(f"{value:.4g}") if isinstance(value, float) else value)


def read_sweep(file: Path) -> Sweep:
    """Read and check a sweep file, except for the names of the parameters."""
    if not file.is_file():
        known = [str(path) for path in sorted(Path("configs/sweep").glob("*.yaml"))]
        missing = "The working directory has no folder configs/sweep: change to the folder of the project."
        found = did_you_mean(str(file), known) if known else missing
        raise UserError(f"--sweep is {str(file)!r}, but there is no such file. {found}")
    content = read_yaml(
        file, dict[str, Any], "A sweep file contains command, metric and parameters: correct it.", "--sweep"
    )
    try:
        command, parameters = content.get("command"), content.get("parameters")
        words = [str(word) for word in command] if isinstance(command, list) else []
        if "fit" not in words or words[-1] != ARGS:
            raise UserError(
                f"command is {command!r}; it must be a list that runs fit and ends with {ARGS!r}: "
                f"[PROGRAM, fit, --config, configs/RECIPE.yaml, {ARGS!r}]."
            )
        if not isinstance(parameters, dict) or not parameters:
            raise UserError("there are no parameters. Give the names of options of fit, such as model.optimizer.lr.")
        if wrong := [name for name in parameters if not isinstance(name, str) or not name]:
            raise UserError(f"parameter {wrong[0]!r} is no name of an option of fit, such as model.optimizer.lr.")
        parsed = {plain(name): parse_parameter(name, settings) for name, settings in parameters.items()}
        space = {name: drawn for name, drawn in parsed.items() if isinstance(drawn, BaseDistribution)}
        constants = {name: text for name, text in parsed.items() if isinstance(text, str)}
        if not space:
            raise UserError(
                "all parameters are constant, so there is nothing to search. Give one of them `values`, or min and max."
            )
        metric, min_epochs = parse_metric(content.get("metric")), parse_min_epochs(content.get("early_terminate"))
        return Sweep(file, words[words.index("fit") + 1 : -1], metric, space, constants, min_epochs)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def plain(name: str) -> str:
    """The name of an option without parts that can be left out: ``model.optimizer.lr``."""
    return ".".join(part for part in name.split(".") if part not in {"class_path", "init_args"})


def parse_metric(metric: Any) -> str:
    settings = metric if isinstance(metric, dict) else {}
    name, goal = settings.get("name"), settings.get("goal", "minimize")
    if name not in MONITORS:
        raise UserError(f"metric.name is {name!r}. {did_you_mean(str(name), MONITORS)}")
    wanted = {"min": "minimize", "max": "maximize"}[mode_of(name)]
    if goal != wanted:
        raise UserError(f"metric.goal is {goal!r}, but the goal of {name} must be {wanted!r}.")
    return name


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


def parse_parameter(name: str, settings: Any) -> BaseDistribution | str:
    """The distribution of a searched parameter, or the text of a constant; refuses what W&B does not support."""
    if not isinstance(settings, dict):
        raise UserError(
            f"parameter {name!r} is {settings!r}; it must be `value: ...`, `values: [...]`, or min and max."
        )
    if "parameters" in settings:
        raise UserError(f"parameter {name!r} is nested. Write the full name of each option: {name}.<option>.")
    if unknown := settings.keys() - KEYS:
        raise UserError(f"parameter {name!r} has {min(unknown)!r}. {did_you_mean(min(unknown), KEYS)}")
    is_whole = isinstance(settings.get("min"), int) and isinstance(settings.get("max"), int)
    inferred = {"value": "constant", "values": "categorical"}  # as W&B does it
    default = next((inferred[key] for key in inferred if key in settings), "int_uniform" if is_whole else "uniform")
    kind = str(settings.get("distribution", default))
    if kind not in KINDS:
        raise UserError(f"parameter {name!r} has the distribution {kind!r}. {did_you_mean(kind, KINDS)}")
    if kind == "constant":
        if "value" not in settings:
            raise UserError(f"parameter {name!r} is constant but has no value. Add `value: ...`.")
        return as_text(name, settings["value"])
    if kind == "categorical":
        values = settings.get("values")
        if not isinstance(values, list) or not values:
            raise UserError(f"parameter {name!r} has the values {values!r}; it must be a list of at least one value.")
        return CategoricalDistribution([as_text(name, value) for value in values])  # Optuna cannot store lists
    low, high = number(name, "min", settings), number(name, "max", settings)
    step = number(name, "q", settings) if kind == "q_uniform" else None
    if low >= high or (step is not None and step <= 0) or (kind == "log_uniform_values" and low <= 0):
        raise UserError(
            f"parameter {name!r} has min {low}, max {high}{'' if step is None else f', q {step}'}; min must be below "
            "max, q must be above 0, and min of log_uniform_values must be above 0."
        )
    if kind == "int_uniform" or (step is not None and all(isinstance(bound, int) for bound in (low, high, step))):
        return IntDistribution(math.ceil(low), math.floor(high), step=int(step or 1))
    return FloatDistribution(float(low), float(high), log=kind == "log_uniform_values", step=step)


def number(name: str, key: str, settings: Mapping[str, Any]) -> int | float:
    value = settings.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        hint = " YAML reads 1e-4 as text: write 0.0001 or 1.0e-4." if isinstance(value, str) else ""
        raise UserError(f"parameter {name!r} has {key} {value!r}; it must be a number.{hint}")
    return value


def as_text(name: str, value: Any) -> str:
    """The text of a choice or constant in an option; refuses what W&B's agent would pass differently."""
    if value is None:
        raise UserError(
            f"parameter {name!r} has the value null, which W&B's agent passes as None. Write 'null', quoted."
        )
    if isinstance(value, Mapping):
        raise UserError(f"parameter {name!r} has the value {value!r}. Write the full name of each option instead.")
    return value if isinstance(value, str) else json.dumps(value)
