"""``--help`` of the verbs with a trainer: first the options of the chosen data set and model, then the others."""

from __future__ import annotations

import re
import shutil
import textwrap
from argparse import SUPPRESS
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from .cli_errors import LINKED

FALLBACK_COLUMNS, MAX_COLUMNS = 100, 120
NAME_COLUMNS = 34  # of the left column, with the margin
VALUES = "Square brackets show the value that is used where the option is not given."

# What Lightning and jsonargparse say of these takes paragraphs, or speaks of Python.
OWN_TEXTS = {
    "config": "a recipe or an overlay; give several, and later ones win",
    "print_config": "print the whole configuration and stop",
    "seed_everything": "seed of initial weights, order of images, augmentation and dropout",
    "ckpt_path": "run or checkpoint; a new run continues its training",
    "trainer.max_epochs": "epochs to train",
    "trainer.accelerator": "auto, cpu, gpu or mps",
    "trainer.devices": "number of devices, a list of their indices, or auto",
    "trainer.precision": "32-true, bf16-mixed or 16-mixed",
    "trainer.accumulate_grad_batches": "batches of an optimizer step",
    "trainer.limit_train_batches": "share (0.1) or number (10) of the training batches to use",
    "trainer.limit_val_batches": "share (0.1) or number (10) of the validation batches to use",
    "trainer.limit_test_batches": "share (0.1) or number (10) of the test batches to use",
    "trainer.fast_dev_run": "true runs one batch of each split, to see that the code works",
    "trainer.enable_progress_bar": "false prints one line an epoch instead of the bar",
}


@dataclass(frozen=True)
class Option:
    """One option as help shows it: its full name, what it does, its choices in braces, the value in use."""

    name: str
    text: str
    choices: str = ""
    value: Any = None

    def lines(self, columns: int, *, is_full: bool) -> list[str]:
        text = plain(OWN_TEXTS.get(self.name, self.text))
        parts = [text if is_full else first_clause(text)]
        parts += [self.choices.replace(",", ", ")] if self.choices else []
        parts += [f"[{shown_value(self.value)}]"] if self.value not in (None, "") else []
        left = f"  --{self.name}"
        wrapped = textwrap.wrap(" ".join(parts), columns - NAME_COLUMNS, break_on_hyphens=False) or [""]
        rows = [f"{'':{NAME_COLUMNS}}{line}" for line in wrapped]
        if len(left) + 2 > NAME_COLUMNS:
            return [left, *rows]
        return [f"{left:{NAME_COLUMNS}}{wrapped[0]}", *rows[1:]]


def options_of(parser: Any) -> list[Option]:
    """All options of a parser that take a value, in its order; argparse has no public way to ask for them."""
    return [
        Option(action.dest, action.help or "", action.metavar if "{" in str(action.metavar) else "", action.default)
        for action in parser._actions
        if action.option_strings and action.default != SUPPRESS and not action.dest.endswith(".help")
    ]


def options_of_class(section: str, owner: type) -> list[Option]:
    """The options of a data set or a model."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(owner, section, skip=set(LINKED))
    return options_of(parser)


def section_options(section: str, owner: type, config: Namespace) -> list[Option]:
    """The options of a chosen class, with the values that the configuration gives them."""
    return [
        replace(option, value=config.get(f"{section}.init_args.{option.name.removeprefix(f'{section}.')}"))
        for option in options_of_class(section, owner)
    ]


def shared_options(section: str, classes: Mapping[str, type]) -> list[Option]:
    """The options that all classes have, where none is chosen; the value where it is the same for all."""
    first, *others = [
        {option.name: option for option in options_of_class(section, owner)} for owner in classes.values()
    ]
    return [
        option if all(other[name].value == option.value for other in others) else replace(option, value=None)
        for name, option in first.items()
        if all(name in other for other in others)
    ]


def particular_options(section: str, classes: Mapping[str, type], columns: int) -> list[str]:
    """A paragraph for each class: the names of the options that not all of them have."""
    shared = {option.name for option in shared_options(section, classes)}
    lines = []
    for name, owner in classes.items():
        own = [f"--{option.name}" for option in options_of_class(section, owner) if option.name not in shared]
        names = f"{name}: {', '.join(own) or 'no others'}"
        lines += textwrap.wrap(names, columns, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)
    return lines


def title_of(section: str, chosen: str | None, classes: Mapping[str, type]) -> str:
    what = "Data set" if section == "data" else "Model"
    if chosen:
        return f"{what}: {chosen} (--{section}, one of {', '.join(classes)})"
    return f"{what}: --{section}, one of {', '.join(classes)}. All of them have"


def render(title: str, options: Iterable[Option], columns: int, *, is_full: bool) -> list[str]:
    lines = [line for option in options for line in option.lines(columns, is_full=is_full)]
    return ["", *textwrap.wrap(f"{title}:", columns), *lines] if lines else []


def width() -> int:
    """Columns of the help text: those of the terminal, up to a line length that is still easy to read."""
    return min(shutil.get_terminal_size((FALLBACK_COLUMNS, 24)).columns, MAX_COLUMNS)


def plain(text: str) -> str:
    """A docstring's text without its markup."""
    without_roles = re.sub(r":[\w:]+:`~?([^`<]*)(?:<[^>]*>)?`", r"\1", text)
    return " ".join(without_roles.replace("``", "").replace("`", "").split())


def first_clause(text: str) -> str:
    """Up to the first semicolon or full stop that is outside brackets."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        ends = character == ";" or (character == "." and text[position + 1 : position + 2] in ("", " "))
        if ends and depth == 0:
            return text[:position]
    return text


def shown_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
