"""Types of options whose values have a range, such as ``Count``; the command line refuses all other values.

Annotate an argument of a data module, a classifier or a settings class with one of them, and nothing else is needed:
messages and help follow. For type checkers, in Python and in checkpoints, values are plain numbers and texts.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from .errors import brief

LARGEST_INT, LARGEST = 2**31 - 1, 1e9


class CheckedType(type):
    """An instance of these types is any allowed value, so that they check files and the options of argparse too."""

    convert: Callable[[Any], Any]
    parse: Callable[[Any], Any]

    def __call__(cls, text: str) -> Any:
        try:
            return cls.parse(text)
        except ValueError as error:
            raise ArgumentTypeError(f"is {error}") from error

    def __instancecheck__(cls, instance: Any) -> bool:
        try:
            return not (issubclass(cls, Number) and isinstance(instance, str)) and cls.convert(instance) is not None
        except (ValueError, TypeError, OverflowError):
            return False


class Checked(metaclass=CheckedType):
    """Base of these types: ``text`` says what is allowed, and ``convert`` raises an exception for all other values."""

    text: ClassVar[str]

    @classmethod
    def convert(cls, value: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def parse(cls, value: Any) -> Any:
        """The value, of which a number may be text, or a ValueError that says what is allowed."""
        try:
            return cls.convert(value)
        except (ValueError, TypeError, OverflowError) as error:
            given = "null" if value is None else brief(value)
            raise ValueError(f"{given}; it must be {cls.text}.") from error


class Number(Checked):
    """A number from ``low`` to ``high``, without these bounds themselves where ``excluded`` contains them."""

    kind: ClassVar[type[int] | type[float]]
    low: ClassVar[float]
    high: ClassVar[float]
    excluded: ClassVar[set[float]]

    @classmethod
    def convert(cls, value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, str | int | cls.kind):
            raise TypeError(value)
        number = cls.kind(value)
        if not cls.low <= number <= cls.high or number in cls.excluded:  # NaN is in no range
            raise ValueError(value)
        return number


def number_type(
    name: str, kind: type[int] | type[float], text: str, low: float, high: float, *excluded: float
) -> type[Number]:
    return type(name, (Number,), {"kind": kind, "text": text, "low": low, "high": high, "excluded": set(excluded)})


class FolderName(Checked):
    text = "the name of a folder on any system: 1 to 100 letters, no path, without - or . at its beginning"

    @classmethod
    def convert(cls, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r'[^\s.\-\\/:*?"<>|][^\\/:*?"<>|]{0,99}', value):
            raise ValueError(value)
        if not value.isprintable() or value.endswith((" ", ".")):
            raise ValueError(value)
        return value


class DeviceIndices(Checked):
    text = "a list of device indices, such as [0, 1]"

    @classmethod
    def convert(cls, value: Any) -> Any:
        is_text = isinstance(value, str) and re.fullmatch(r"\d+(,\d+)*,?", value) and not value.isdecimal()
        indices = value.strip(",").split(",") if is_text else value
        if not isinstance(indices, list) or any(isinstance(index, bool | float) for index in indices):
            raise TypeError(value)
        found = [int(index) for index in indices]
        if not found or min(found) < 0 or len(set(found)) < len(found):
            raise ValueError(value)
        return found


if TYPE_CHECKING:
    Count = int
    Whole = int
    Size = int
    Depth = int
    Seed = int
    NumWorkers = int
    Port = int
    Quality = int
    Positive = float
    NonNegative = float
    Fraction = float
    Share = float
    Factor = float
    Probability = float
    RunName = str
    Devices = list[int]
else:
    Count = number_type("Count", int, "a whole number of 1 or more", 1, LARGEST_INT)
    Whole = number_type("Whole", int, "a whole number of 0 or more", 0, LARGEST_INT)
    Size = number_type("Size", int, "a whole number from 1 to 65536", 1, 65536)  # of an image or a layer
    Depth = number_type("Depth", int, "a whole number from 1 to 100", 1, 100)
    Seed = number_type("Seed", int, "a whole number from 0 to 4294967295", 0, 2**32 - 1)
    NumWorkers = number_type("NumWorkers", int, "a whole number from 0 to 1024", 0, 1024)
    Port = number_type("Port", int, "a whole number from 1 to 65535", 1, 65535)
    Quality = number_type("Quality", int, "a whole number from 1 to 95", 1, 95)  # of JPEG
    Positive = number_type("Positive", float, "a number above 0, up to 1e9", 0, LARGEST, 0)
    NonNegative = number_type("NonNegative", float, "a number from 0 to 1e9", 0, LARGEST)
    Fraction = number_type("Fraction", float, "a number above 0 and below 1, for example 0.1", 0, 1, 0, 1)
    Share = number_type("Share", float, "a number from 0 to below 1", 0, 1, 1)
    Factor = number_type("Factor", float, "a number above 0, up to 1", 0, 1, 0)
    Probability = number_type("Probability", float, "a number from 0 to 1", 0, 1)
    RunName, Devices = FolderName, DeviceIndices

CHECKED: dict[str, type[Checked]] = {
    found.__name__: found
    for found in list(globals().values())
    if isinstance(found, type) and issubclass(found, Checked) and hasattr(found, "text")
}
