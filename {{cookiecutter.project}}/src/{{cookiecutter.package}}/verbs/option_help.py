"""``--help`` of verbs with a trainer: first the options of the chosen data set and model, then the others."""

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
NAME_COLUMNS = 34  # width of the left column, including the margin
VALUES = "Default values are in square brackets."

# Shorter than the texts of Lightning and jsonargparse.
OWN_TEXTS = {
    "config": "recipe or overlay; can be repeated, and later files override earlier ones",
    "print_config": "print the resolved configuration and exit",
    "seed_everything": "random seed of initial weights, image order, augmentation and dropout",
    "ckpt_path": "run or checkpoint to continue training from in a new run directory",
    "trainer.max_epochs": "number of epochs to train",
    "trainer.accelerator": "auto, cpu, gpu or mps",
    "trainer.devices": "number of devices, list of device indices, or auto",
    "trainer.precision": "32-true, bf16-mixed or 16-mixed",
    "trainer.accumulate_grad_batches": "number of batches per optimizer step",
    "trainer.limit_train_batches": "fraction (0.1) or number (10) of training batches to use",
    "trainer.limit_val_batches": "fraction (0.1) or number (10) of validation batches to use",
    "trainer.limit_test_batches": "fraction (0.1) or number (10) of test batches to use",
    "trainer.fast_dev_run": "run one batch of each split to check the code",
    "trainer.enable_progress_bar": "show a progress bar; false prints one line per epoch",
}


@dataclass(frozen=True)
class Option:
    """One option in help: its full name, description, choices in braces, and current value."""

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
    """All options of a parser that take a value, in order; argparse has no public way to list them."""
    return [
        Option(action.dest, action.help or "", action.metavar if "{" in str(action.metavar) else "", action.default)
        for action in parser._actions
        if action.option_strings and action.default != SUPPRESS and not action.dest.endswith(".help")
    ]


def options_of_class(section: str, owner: type) -> list[Option]:
    """Options of a data set or a model."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(owner, section, skip=set(LINKED))
    return options_of(parser)


def section_options(section: str, owner: type, config: Namespace) -> list[Option]:
    """Options of the chosen class, with their values in the configuration."""
    return [
        replace(option, value=config.get(f"{section}.init_args.{option.name.removeprefix(f'{section}.')}"))
        for option in options_of_class(section, owner)
    ]


def shared_options(section: str, classes: Mapping[str, type]) -> list[Option]:
    """Options that all classes share, if none is chosen; with the default if it is the same for all."""
    first, *others = [
        {option.name: option for option in options_of_class(section, owner)} for owner in classes.values()
    ]
    return [
        option if all(other[name].value == option.value for other in others) else replace(option, value=None)
        for name, option in first.items()
        if all(name in other for other in others)
    ]


def particular_options(section: str, classes: Mapping[str, type], columns: int) -> list[str]:
    """One paragraph per class: names of the options that not all classes have."""
    shared = {option.name for option in shared_options(section, classes)}
    lines = []
    for name, owner in classes.items():
        own = [f"--{option.name}" for option in options_of_class(section, owner) if option.name not in shared]
        names = f"{name}: {', '.join(own) or 'none'}"
        lines += textwrap.wrap(names, columns, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)
    return lines


def title_of(section: str, chosen: str | None, classes: Mapping[str, type]) -> str:
    what = "Data set" if section == "data" else "Model"
    if chosen:
        return f"{what}: {chosen} (--{section}, one of {', '.join(classes)})"
    return f"{what}: --{section}, one of {', '.join(classes)}. Common options"


def render(title: str, options: Iterable[Option], columns: int, *, is_full: bool) -> list[str]:
    lines = [line for option in options for line in option.lines(columns, is_full=is_full)]
    return ["", *textwrap.wrap(f"{title}:", columns), *lines] if lines else []


def width() -> int:
    """Width of the help text: that of the terminal, up to a readable line length."""
    return min(shutil.get_terminal_size((FALLBACK_COLUMNS, 24)).columns, MAX_COLUMNS)


def plain(text: str) -> str:
    """Docstring text without markup."""
    without_roles = re.sub(r":[\w:]+:`~?([^`<]*)(?:<[^>]*>)?`", r"\1", text)
    return " ".join(without_roles.replace("``", "").replace("`", "").split())


def first_clause(text: str) -> str:
    """Text up to the first semicolon or full stop outside brackets."""
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
