"""Checks config files before they are parsed: regular files of UTF-8 text, of bounded size and depth, in sections."""

from collections.abc import Collection
from enum import Enum
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import yaml

from ..errors import UserError, brief

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 100_000  # with every alias replaced by what it stands for
CLASSES = ("data", "model")
LINKED = "It is taken from the data set or from --monitor: leave it out."
SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# For defaults such as that of Lightning's Timer, which jsonargparse gives to yaml as they are.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))


def read_yaml(file: Path, option: str) -> Any:
    """The content of a YAML file, the value of ``option``; raises UserError for all other files."""
    given = f"{option} is {str(file)!r}"
    text = read_text(file, given)
    try:
        require_bounded(text, given)
        return yaml.load(text, SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).replace('"<unicode string>", ', "").split())
        raise UserError(f"{given}, which is not valid YAML: {reason}. Correct that line.") from error


def read_text(file: Path, given: str) -> str:
    try:
        if not file.is_file():
            what = "not a regular file" if file.exists() else "no such file"
            raise UserError(f"{given}, which is {what}. Give a YAML file.")
        if is_zipfile(file):
            raise UserError(f"{given}, which is a checkpoint or an archive. Give a YAML file, or --init_from {file}.")
        if file.stat().st_size > MAX_BYTES:
            raise UserError(f"{given}, which has {file.stat().st_size:,} bytes; a config has at most {MAX_BYTES:,}.")
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{given}, which cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{given}, which is not UTF-8 text: byte {error.object[error.start]:#04x} at position {error.start}. Save "
            "it as UTF-8, or give another file."
        ) from error


def require_bounded(text: str, given: str) -> None:
    """Refuse deep nesting, aliases that multiply, and aliases within what they stand for; loads nothing."""
    sizes: dict[str, int] = {}  # of what each anchor stands for
    stack: list[tuple[str | None, int]] = []  # anchors of the open lists and mappings, and the values before each
    num_values = 0
    for event in yaml.parse(text, SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in stack}:
                raise UserError(f"{given}, in which {event.anchor!r} contains itself. Write the value without *.")
            num_values += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            stack.append((event.anchor, num_values))
            num_values += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = stack.pop()
            sizes |= {} if anchor is None else {anchor: num_values - before}
        elif isinstance(event, yaml.ScalarEvent):
            num_values += 1
        if len(stack) > MAX_DEPTH or num_values > MAX_VALUES:
            raise UserError(
                f"{given}, which is nested too deeply or has too many values (at most {MAX_DEPTH} levels and "
                f"{MAX_VALUES:,} values). Give a config of fit."
            )


def require_config(file: Path, groups: Collection[str], linked: Collection[str]) -> None:
    """Refuse a config that is no mapping, whose ``groups`` are no mappings, or that sets a ``linked`` argument."""
    given, content = f"--config is {str(file)!r}", read_yaml(file, "--config")
    if not isinstance(content, dict):
        raise UserError(f"{given}, which has no sections: {brief(content)}. Give a YAML file with settings of fit.")
    for name, value in content.items():
        if not isinstance(name, str):
            raise UserError(f"{given}, which has the section {brief(name)}; names must be text.")
        if name == "config":
            raise UserError(f"{given}, which names another config. Give each with its own --config.")
        inner = value.get("init_args", value) if isinstance(value, dict) and name in CLASSES else value
        if not isinstance(inner, dict) and (name in groups or inner is not value):
            shown = "null" if inner is None else brief(inner)
            raise UserError(f"{given}, in which {name} is {shown}; it must be a group of settings.")
        if name in CLASSES and isinstance(value, dict) and "class_path" in value:
            for key in value.keys() - {"class_path", "init_args"}:
                raise UserError(f"{given}, in which {name} has {brief(key)}; it has class_path and init_args only.")
    model = content.get("model")
    arguments = model.get("init_args", model) if isinstance(model, dict) else {}
    for name in linked:
        if isinstance(arguments, dict) and name in arguments:
            raise UserError(f"{given}, which sets model.{name}. {LINKED}")
