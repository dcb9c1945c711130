"""Which classes the config of a run or of a checkpoint may name: such a file can come from a stranger.

jsonargparse imports what a config names. So a name goes through the project's tables and Lightning's own callbacks and
strategies only. All other names must stand in a config that the user gives.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lightning.pytorch import callbacks, strategies

from ..errors import UserError
from .reading import arguments_known

Tables = Mapping[str, Mapping[str, type]]  # of the sections ``data`` and ``model``: classes by name
LIGHTNING = {name: getattr(module, name) for module in (callbacks, strategies) for name in module.__all__}
MODULES = ("lightning.pytorch.callbacks", "lightning.pytorch.strategies")
# Options of the trainer whose value can name a class; of these, a text without a dot is a name that Lightning knows.
CLASSES_OF_TRAINER = ("accelerator", "callbacks", "logger", "plugins", "profiler", "strategy")


def require_known_classes(config: Mapping[str, Any], tables: Tables, where: str, remedy: str, own: str = "") -> None:
    """Refuse a config that names other classes or functions; ``own`` is the text of the configs that the user gives."""
    for place, name in unknown_names(config, tables):
        if name not in own:
            raise UserError(
                f"{where} names {name!r} in {place}, which is neither in a table of this project nor a callback of "
                f"Lightning, so it is not imported. {remedy}"
            )


def unknown_names(config: Mapping[str, Any], tables: Tables) -> Iterator[tuple[str, str]]:
    """Places in a config, and what they name, that is in no table."""
    if "config" in config:
        yield "config", str(config["config"])
    for section, value in config.items():
        if section in tables:
            yield from names_of_class(section, value, tables[section].get)
        elif section == "trainer" and isinstance(value, Mapping):
            for option in CLASSES_OF_TRAINER:
                yield from names_of_value(f"trainer.{option}", value.get(option))
        else:
            yield from names_within(section, value)


def names_of_value(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """The unknown names in an option of the trainer: a class, a list of classes, or a plain value."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, Mapping):
            yield from names_of_class(place, one, class_of_lightning)
        elif isinstance(one, str) and ("." in one or place == "trainer.callbacks"):
            yield from names_of_class(place, {"class_path": one}, class_of_lightning)


def names_of_class(place: str, section: Any, find: Callable[[str], type | None]) -> Iterator[tuple[str, str]]:
    name = section.get("class_path") if isinstance(section, Mapping) else section
    found = find(name) if isinstance(name, str) else None
    if found is None:
        yield place, str(name)
        return
    arguments = section.get("init_args") or {}
    if not isinstance(arguments, Mapping):
        yield f"{place}.init_args", str(arguments)
        return
    known = arguments_known(found)
    for argument, value in arguments.items():
        if "Callable" in str(known.get(argument)) and isinstance(value, str):  # a function, which would be imported
            yield f"{place}.{argument}", value
        yield from names_within(f"{place}.{argument}", value)


def names_within(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every class that is named anywhere inside of a value."""
    if isinstance(value, Mapping):
        if "class_path" in value:
            yield place, str(value["class_path"])
        for name, inner in value.items():
            yield from names_within(f"{place}.{name}", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_within(place, inner)


def class_of_lightning(name: str) -> type | None:
    """The callback or strategy of Lightning with that name or import path; None for anything else."""
    module, _, last = name.rpartition(".")
    is_there = not module or module.startswith(tuple(f"{known}." for known in MODULES)) or module in MODULES
    found = LIGHTNING.get(last) if is_there else None
    return found if inspect.isclass(found) else None
