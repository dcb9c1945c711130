"""Reads files into values of declared types. An error is one sentence: the file, the field, the value and a remedy.

Each kind of file has one reader, which stands beside what writes the file and hands a declared type to the functions
below. msgspec checks the values; of the libraries that do, it costs the least time to import (8 ms; pydantic 60 ms).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from inspect import Parameter, signature
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict, TypeVar, get_type_hints

import msgspec
import yaml

from ..errors import UserError, some
from ..predictor import read_file

T = TypeVar("T")

# Types with a range, for the fields of files. Numbers beyond these ranges are damage.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Number = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
Temperature = Annotated[float, msgspec.Meta(ge=1e-3, le=1e3)]


class ClassSection(TypedDict):
    """A section of a config that names a class."""

    class_path: str
    init_args: NotRequired[dict[str, Any]]


NEWER = "It may be of a newer version: use that one, or train again."
MAX_CONFIG_BYTES = 1_000_000
MAX_VALUES = 100_000  # of a config; anchors of YAML let a small file stand for billions
WORDS = {"array": "a list", "bool": "true or false", "float": "a number", "int": "a whole number", "null": "nothing"}
WORDS |= {"object": "a mapping", "str": "text"}


def checked(value: Any, kind: Any, what: str, remedy: str) -> Any:
    """Convert plain values to a dataclass, or check that they are of a declared type such as a TypedDict.

    Raises:
        UserError: a field is missing, or its value has another type or is out of its range.
    """
    try:
        return msgspec.convert(value, kind, dec_hook=restricted)
    except msgspec.ValidationError as error:
        raise UserError(f"{what} cannot be used: {in_words(error, value)}. {remedy}") from error
    except RecursionError as error:
        raise UserError(f"{what} cannot be used: it is nested too deeply. {remedy}") from error


def restricted(kind: type, value: Any) -> Any:
    """A value of one of jsonargparse's restricted types, such as a positive integer."""
    if issubclass(kind, int | float) and type(value) not in {int, float}:
        raise ValueError(f"expected a number, got {value!r}")
    if not isinstance(value, kind) and not issubclass(kind, int | float | str):
        raise ValueError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value if isinstance(value, kind) else kind(value)


def in_words(error: Exception, value: Any) -> str:
    """An error of msgspec with the name of the field first, and with its value if that is short."""
    text, _, path = str(error).partition(" - at ")
    field = re.sub(r"^key in ", "", path).strip("`").removeprefix("$").removeprefix(".")
    if missing := re.fullmatch(r"Object missing required field `(.*)`", text):
        return f"{f'{field}.{missing[1]}'.strip('.')} is missing"
    text = re.sub(r"`(\w+)`", lambda found: WORDS.get(found[1], found[1]), text[:1].lower() + text[1:])
    for part in re.findall(r"\[(\d+)\]|\[\.\.\.\]|([^.\[\]]+)", field):
        index = int(part[0]) if part[0] else part[1]
        try:
            value = value[index]
        except (LookupError, TypeError):  # of several entries, msgspec does not say which one it is
            return f"{field}: {text}"
    given = "" if isinstance(value, Mapping | list) or len(repr(value)) > 60 else f" ({value!r})"
    return f"{field}: {text}{given}" if field else f"{text}{given}"


def read_text(file: Path, remedy: str) -> str:
    """The text of a file; refuses one that is missing, unreadable or not UTF-8."""
    try:
        return read_file(file).decode("utf-8")
    except OSError as error:
        raise UserError(f"{str(file)!r} cannot be read: {error.strerror or error}. {remedy}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{str(file)!r} cannot be used: it is not UTF-8 text (byte {error.start}). {remedy}") from error


def read_json(file: Path, kind: Any, remedy: str) -> Any:
    """The content of a JSON file, as ``kind``; of a TypedDict, fields that are not declared are kept."""
    text = read_text(file, remedy)
    try:
        content = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        problem = "it is empty" if not text.strip("\0 \n") else f"it is not valid JSON ({error})"
        raise UserError(f"{str(file)!r} cannot be used: {problem}. {remedy}") from error
    found = checked(content, kind, repr(str(file)), remedy)
    return content if isinstance(found, dict) else found


def read_yaml(file: Path, kind: Any, remedy: str) -> Any:
    """The content of a YAML file of plain values, as ``kind``; see ``read_json``."""
    text, what = read_text(file, remedy), repr(str(file))
    if len(text) > MAX_CONFIG_BYTES:
        raise UserError(f"{what} cannot be used: a config has at most {MAX_CONFIG_BYTES:,} characters. {remedy}")
    try:
        content = yaml.safe_load(text)
        require_plain(content)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{what} is not valid YAML: {' '.join(str(error).split())}. {remedy}") from error
    except RecursionError as error:
        raise UserError(f"{what} cannot be used: it is nested too deeply. {remedy}") from error
    found = checked(content, kind, what, remedy)
    return content if isinstance(found, dict) else found


def require_plain(content: Any) -> None:
    """Raise a ValueError unless a value consists of JSON types, and of at most ``MAX_VALUES`` values."""
    waiting, num = [content], 0
    while waiting:
        value, num = waiting.pop(), num + 1
        if num + len(waiting) > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES:,} values")
        if isinstance(value, dict):
            if names := [key for key in value if not isinstance(key, str)]:
                raise ValueError(f"{names[0]!r} is not a name")
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif not (value is None or isinstance(value, str | int | float)):
            raise ValueError(f"{value!r} is of the type {type(value).__name__}")


def read_csv(file: Path, columns: Sequence[str], remedy: str) -> list[dict[str, str]]:
    """The rows of a CSV file that has at least ``columns``; all rows have as many cells as the heading."""
    what = repr(str(file))
    try:
        text = StringIO(read_file(file).decode("utf-8"), newline="")
        heading, *rows = [row for row in csv.reader(text) if row] or [[]]
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error.strerror or error}. {remedy}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{what} is not a CSV file in UTF-8: {error}. {remedy}") from error
    if missing := [name for name in columns if name not in heading]:
        raise UserError(f"{what} has no column {missing[0]!r}; its columns are {some(heading)}. {remedy}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(heading):
            raise UserError(f"{what}, row {number}, has {len(row)} cells, and the heading has {len(heading)}. {remedy}")
    return [dict(zip(heading, row, strict=True)) for row in rows]


def arguments_of(build: type, arguments: Mapping[str, Any], what: str, remedy: str) -> dict[str, Any]:
    """Check arguments from a file against the signature of a class, and against that of its base for ``**kwargs``."""
    known = arguments_known(build)
    for name, value in arguments.items():
        if name not in known:
            raise UserError(f"{what} cannot be used: {build.__name__} has no argument {name!r}. {remedy}")
        if is_checkable(known[name]):
            checked(value, known[name], f"{what}, argument {name!r}", remedy)
    return dict(arguments)


def arguments_known(build: type) -> dict[str, Any]:
    """The arguments of a class with their types, and those of its base for ``**kwargs``."""
    known: dict[str, Any] = {}
    for owner in build.__mro__:
        if (init := vars(owner).get("__init__")) is None:
            continue
        parameters, hints = signature(init).parameters, get_type_hints(init)
        known = {name: hints.get(name, Any) for name in parameters} | known
        if all(parameter.kind is not Parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return known


def is_checkable(kind: Any) -> bool:
    """Whether msgspec knows a type: not a union of several classes, for example."""
    try:
        msgspec.convert(None, kind | None, dec_hook=restricted)
    except TypeError:
        return False
    except msgspec.ValidationError:
        return True
    return True


def from_plain(settings: type[T], value: T | Mapping[str, Any]) -> T:
    """Rebuild a settings dataclass from the dictionary in a checkpoint; an instance is returned unchanged."""
    if not isinstance(value, Mapping):
        return value
    what = f"the checkpoint's {settings.__name__}"
    if unknown := value.keys() - settings.__dataclass_fields__.keys():  # type: ignore[attr-defined]
        raise UserError(f"{what} cannot be used: it has {min(unknown)!r}, which this version does not know. {NEWER}")
    return checked(dict(value), settings, what, "Give a checkpoint that fit has written.")
