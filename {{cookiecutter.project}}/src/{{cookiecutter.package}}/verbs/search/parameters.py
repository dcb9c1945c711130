"""Converts a parameter of a sweep file in W&B's format to an Optuna distribution and to options of ``fit``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ...errors import UserError, did_you_mean

KINDS = ("constant", "categorical", "int_uniform", "uniform", "log_uniform_values", "q_uniform")
KEYS = {"distribution", "value", "values", "min", "max", "q"}
DIGITS = 4  # significant digits of a searched number; more have no effect and make a recipe hard to read

Numeric = FloatDistribution | IntDistribution


def kind_of(name: str, settings: Mapping[str, Any]) -> str:
    """Name of the distribution; if the parameter does not name it, it is inferred from the other keys, as in W&B.

    Raises:
        UserError: ``tune`` and W&B do not both support it.
    """
    if "parameters" in settings:
        raise UserError(f"parameter {name!r} is nested. Write the full name of each option: {name}.<option>.")
    if unknown := settings.keys() - KEYS:
        raise UserError(f"parameter {name!r} has {min(unknown)!r}. {did_you_mean(min(unknown), KEYS)}")
    if "distribution" in settings:
        kind = str(settings["distribution"])
        if kind not in KINDS:
            raise UserError(f"parameter {name!r} has the distribution {kind!r}. {did_you_mean(kind, KINDS)}")
        return kind
    if "value" in settings:
        return "constant"
    if "values" in settings:
        return "categorical"
    whole = isinstance(settings.get("min"), int) and isinstance(settings.get("max"), int)
    return "int_uniform" if whole else "uniform"


def constant(name: str, settings: Mapping[str, Any]) -> str:
    """The value of a constant parameter, as the text of an option."""
    if "value" not in settings:
        raise UserError(f"parameter {name!r} is constant but has no value. Add `value: ...`.")
    return as_text(name, settings["value"])


def distribution(name: str, kind: str, settings: Mapping[str, Any]) -> BaseDistribution:
    """The Optuna distribution; choices are the texts of options, because Optuna cannot store lists.

    Raises:
        UserError: a bound is missing or not a number, or the range is empty.
    """
    if kind == "categorical":
        values = settings.get("values")
        if not isinstance(values, list) or not values:
            raise UserError(f"parameter {name!r} has the values {values!r}; it must be a list of at least one value.")
        return CategoricalDistribution([as_text(name, value) for value in values])
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
    """The text of a value in an option: ``--name=text``.

    Raises:
        UserError: W&B's agent would pass a different text than ``tune``.
    """
    if value is None:
        raise UserError(
            f"parameter {name!r} has the value null, which W&B's agent passes as None. Write 'null', quoted."
        )
    if isinstance(value, Mapping):
        raise UserError(f"parameter {name!r} has the value {value!r}. Write the full name of each option instead.")
    return value if isinstance(value, str) else json.dumps(value)


def option(name: str, value: Any) -> str:
    """``--name=value``, for a value drawn from a distribution."""
    return f"--{name}={shown(value)}"


def from_text(text: str) -> Any:
    """Inverse of ``as_text``; text that is not valid JSON is returned unchanged."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def shown(value: Any) -> str:
    """The text of a value in an option; numbers are rounded to four significant digits."""
    return str(float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value)


def position_in(distribution: BaseDistribution, value: Any) -> Any:
    """The value of the distribution that equals a value of the config; None if the distribution does not contain it."""
    if isinstance(distribution, CategoricalDistribution):
        equal = [choice for choice in distribution.choices if choice == value or from_text(str(choice)) == value]
        return equal[0] if equal else None
    assert isinstance(distribution, Numeric)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    steps = (value - distribution.low) / distribution.step if distribution.step else 0
    inside = distribution.low <= value <= distribution.high and math.isclose(steps, round(steps), abs_tol=1e-8)
    return type(distribution.low)(value) if inside else None


def examples(distribution: BaseDistribution) -> list[Any]:
    """Values to check: all choices, or both bounds."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, Numeric)
    return [distribution.low, distribution.high]
