"""Converts settings between dataclasses (in code) and plain dictionaries (in checkpoints)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, TypeVar

from ..errors import UserError

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Convert to JSON types: dict, list, str, int, float, bool, None."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{value!r} is a {type(value).__name__}; a hyperparameter must be of a JSON type")


def from_plain(settings: type[T], value: T | Mapping[str, Any]) -> T:
    """Rebuild a settings dataclass from the dictionary in a checkpoint; an instance is returned unchanged."""
    return settings(**value) if isinstance(value, Mapping) else value


def require_range(name: str, value: float, low: float, high: float, *, closed: bool = False) -> None:
    """Refuse a value outside [low, high), or outside [low, high] if ``closed``."""
    if not (low <= value < high or (closed and value == high)):
        limit = "at most" if closed else "below"
        raise UserError(f"{name} is {value}; it must be at least {low} and {limit} {high}.")


def require_above_zero(name: str, value: float) -> None:
    if value <= 0:
        raise UserError(f"{name} is {value}; it must be above 0.")
