"""Reads files into values of declared types. An error is one sentence: the file, the field, the value and a remedy.

Each kind of file has one reader, which stands beside what writes the file and hands a declared type to the functions
below. msgspec checks the values; of the libraries that do, it costs the least time to import (a third of pydantic).
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from inspect import Parameter, signature
from io import StringIO
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NotRequired, TypedDict, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from ..errors import UserError, some
from ..predictor import read_file
from ..values import Checked
from . import config_files

T = TypeVar("T")

# Types with a range, for the fields of files. Numbers beyond these ranges are damage.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Number = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
Temperature = Annotated[float, msgspec.Meta(ge=1e-3, le=1e3)]


def fields(**kinds: Any) -> Any:
    """The type of a mapping with these names; one that ends with ``_`` may be missing, and others are allowed."""
    declared = {name.rstrip("_"): NotRequired[kind] if name.endswith("_") else kind for name, kind in kinds.items()}
    return TypedDict("Fields", declared)  # type: ignore[operator]


def list_of(kind: Any, min_length: int = 0) -> Any:
    """The type of a list of values of that type."""
    return Annotated[list[kind], msgspec.Meta(min_length=min_length)]


def mapping_of(kind: Any) -> Any:
    """The type of a mapping from any names to values of that type."""
    return dict[str, kind]


NEWER = "It may be of a newer version: use that one, or train again."
WORDS = {"array": "a list", "bool": "true or false", "float": "a number", "int": "a whole number", "null": "nothing"}
WORDS |= {"object": "a mapping", "str": "text"}


def checked(value: Any, kind: Any, what: str, remedy: str) -> Any:
    """Convert plain values to a dataclass, or check that they are of a declared type such as one of ``fields``."""
    try:
        return msgspec.convert(value, kind, dec_hook=restricted)
    except msgspec.ValidationError as error:
        raise UserError(f"{what} cannot be used: {in_words(error, value)}. {remedy}") from error
    except RecursionError as error:
        raise UserError(f"{what} cannot be used: it is nested too deeply. {remedy}") from error


def restricted(kind: type, value: Any) -> Any:
    """A value that is of a type other than the plain ones: a tensor, or one in ``values``, such as ``Count``."""
    if not isinstance(value, kind):
        raise ValueError(f"it must be {kind.text if issubclass(kind, Checked) else f'a {kind.__name__}'}")
    return value


def in_words(error: Exception, value: Any) -> str:
    """An error of msgspec with the name of the field first, and with its value if that is short."""
    text, _, path = str(error).partition(" - at ")
    field = re.sub(r"^`?key`? in `", "", path).strip("`").removeprefix("$").removeprefix(".")
    if missing := re.fullmatch(r"Object missing required field `(.*)`", text):
        return f"{f'{field}.{missing[1]}'.strip('.')} is missing"
    text = re.sub(r"`(\w+)`", lambda found: WORDS.get(found[1], found[1]), text[:1].lower() + text[1:])
    if path.startswith("`key`"):
        return f"{field}: a name in it has another type: {text}".removeprefix(": ")
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


def read_yaml(file: Path, kind: Any, remedy: str, option: str = "the config") -> Any:
    """The content of a YAML file of plain values, the value of ``option``, as ``kind``; see ``read_json``."""
    content, what = config_files.read_yaml(file, option), repr(str(file))
    if problem := not_plain(content):
        raise UserError(f"{what} cannot be used: {problem}. {remedy}")
    found = checked(content, kind, what, remedy)
    return content if isinstance(found, dict) else found


def not_plain(value: Any) -> str:
    """Says which part of a value is not of a JSON type; empty if all are."""
    if isinstance(value, dict):
        names = [key for key in value if not isinstance(key, str)]
        return f"{names[0]!r} is not a name" if names else next(filter(None, map(not_plain, value.values())), "")
    if isinstance(value, list):
        return next(filter(None, map(not_plain, value)), "")
    is_plain = value is None or isinstance(value, str | int | float)
    return "" if is_plain else f"{value!r} is of the type {type(value).__name__}"


def read_csv(file: Path, columns: Sequence[str], remedy: str) -> list[dict[str, str]]:
    """The rows of a CSV file that has at least ``columns``; all rows have as many cells as the heading."""
    what = repr(str(file))
    try:
        text = StringIO(read_file(file).decode("utf-8-sig"), newline="")  # spreadsheets write a mark
        heading, *rows = [row for row in csv.reader(text) if row] or [[]]
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error.strerror or error}. {remedy}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{what} is not a CSV file in UTF-8: {error}. {remedy}") from error
    if missing := [name for name in columns if name not in heading]:
        raise UserError(
            f"{what} has no column {missing[0]!r}; its columns are {some([name[:40] for name in heading])}. {remedy}"
        )
    if twice := [name for name, count in Counter(heading).items() if count > 1]:
        raise UserError(f"{what} has the column {twice[0]!r} more than once. {remedy}")
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


def require_values(build: type, arguments: Mapping[str, Any], section: str) -> None:
    """Refuse arguments of a class that are outside the ranges of their types; for calls from Python."""
    for name, kind in arguments_known(build).items():
        parts = get_args(kind) if get_origin(kind) in {Union, UnionType} else [kind]
        others = [part for part in parts if part is not type(None)]  # X | None is checked as X is, besides None
        if name not in arguments or len(others) != 1 or (arguments[name] is None and len(parts) > 1):
            continue
        require_value(arguments[name], others[0], f"{section}.{name}")


def require_value(value: Any, kind: Any, name: str) -> None:
    if get_origin(kind) is Literal and value not in (choices := get_args(kind)):
        raise UserError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}.")
    if get_origin(kind) in {list, Sequence} and any(map(is_restricted, get_args(kind))):
        if not isinstance(value, list | tuple):
            raise UserError(f"{name} is {value!r}; it must be a list, each of its values {get_args(kind)[0].text}.")
        for position, item in enumerate(value):
            require_value(item, get_args(kind)[0], f"{name}[{position}]")
    if is_restricted(kind):
        try:
            kind.parse(value)
        except ValueError as error:
            raise UserError(f"{name} is {error}") from error


def arguments_known(build: type) -> dict[str, Any]:
    """The arguments of a class with their types, and those of its base for ``**kwargs``."""
    known: dict[str, Any] = {}
    for owner in build.__mro__:
        if (init := vars(owner).get("__init__")) is None:
            continue
        parameters = signature(init).parameters
        try:
            hints = get_type_hints(init)
        except NameError:  # an annotation of a class of yours that exists for type checkers only
            hints = {}
        known = {name: hints.get(name, Any) for name in parameters} | known
        if all(parameter.kind is not Parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return known


PLAIN = (Any, int, float, str, bool, type(None), list, dict, Ellipsis)


def is_checkable(kind: Any) -> bool:
    """Whether a type is of plain values; a path or a function, for example, is left to the class that takes it."""
    if get_origin(kind) is Literal:
        return True
    if parts := get_args(kind):
        is_mixed = get_origin(kind) in {Union, UnionType} and any(map(is_restricted, parts))
        if is_mixed and len({*parts} - {type(None)}) > 1:  # which msgspec does not check
            return False
        return get_origin(kind) is not Callable and all(map(is_checkable, parts))
    return kind in PLAIN or is_dataclass(kind) or is_restricted(kind)


def is_restricted(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Checked)


def from_plain(settings: type[T], value: T | Mapping[str, Any]) -> T:
    """Rebuild a settings dataclass from the dictionary in a checkpoint; an instance is returned unchanged."""
    if isinstance(value, settings):
        return value
    if not isinstance(value, Mapping):
        name = settings.__name__
        raise UserError(f"{value!r} is given for settings of the type {name}. Give one, such as {name}().")
    what = f"the checkpoint's {settings.__name__}"
    if unknown := value.keys() - settings.__dataclass_fields__.keys():  # type: ignore[attr-defined]
        raise UserError(f"{what} cannot be used: it has {min(unknown)!r}, which this version does not know. {NEWER}")
    return checked(dict(value), settings, what, "Give a checkpoint that fit has written.")
