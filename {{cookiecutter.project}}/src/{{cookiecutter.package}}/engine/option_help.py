"""``--help`` of verbs with a trainer: first the options of the chosen data set and model, then the others."""

import re
import shutil
import textwrap
from argparse import SUPPRESS
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch.cli import LightningArgumentParser

from ..errors import program_name
from .private import options_of_parser

Classes = Mapping[str, Mapping[str, type]]

NAME_COLUMNS = 34  # width of the left column, including the margin

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
EVALUATION_ONLY = {"trainer.limit_val_batches", "trainer.limit_test_batches"}
TRAINER_OPTIONS = tuple(name for name in OWN_TEXTS if name.startswith("trainer.") and name not in EVALUATION_ONLY)


@dataclass(frozen=True)
class Form:
    """The options of a verb."""

    verb: str
    description: str  # one sentence
    classes: Mapping[str, tuple[type, Mapping[str, type]]]  # of data and model: base class, and table of classes
    add_options: Callable[[LightningArgumentParser], None]  # besides those of data, model and trainer
    trainer_options: tuple[str, ...] = TRAINER_OPTIONS  # that ``--help`` explains; ``--help-all`` explains all
    usage: str = "[--config FILE ...] [--OPTION VALUE ...]"
    hidden: frozenset[str] = frozenset()  # groups of options that help does not show, as the verb does not use them
    unchosen: frozenset[str] = frozenset()  # the sections (data, model) for which the arguments choose no class
    preset: str = ""  # YAML text of settings that come before those of the command line
    default_files: tuple[Path, ...] = ()  # config files that are read before those of the command line

    @property
    def tables(self) -> Classes:
        return {section: table for section, (_, table) in self.classes.items()}


def help_text(form: Form, parser: ArgumentParser, config: Namespace, chosen: Collection[str], *, is_full: bool) -> str:
    """The text that ``--help`` of a verb prints; if ``is_full``, with all of Lightning's options and full texts.

    The user has given the class of the sections ``chosen`` (data, model).
    """
    columns, command = min(shutil.get_terminal_size((100, 24)).columns, 120), f"{program_name()} {form.verb}"
    lines = [f"usage: {command} {form.usage}", "", form.description, "Default values are in square brackets."]
    for section, owners in form.tables.items():
        if section not in form.hidden:
            owner = owners.get(config[section].class_path.rsplit(".", 1)[-1]) if section in chosen else None
            lines += section_help(section, owners, owner, config, columns, is_full=is_full)
    own = {
        option.name: replace(option, value=config.get(option.name, option.value))
        for option in options_of(parser)
        if option.name.split(".")[0] not in form.hidden and option.name not in {*form.classes, "config"}
    }
    trainer = [name for name in own if name.startswith("trainer.")] if is_full else form.trainer_options
    general = [option for name, option in own.items() if "." not in name]
    grouped = [option for name, option in own.items() if "." in name and not name.startswith("trainer.")]
    lines += render("Trainer", (own[name] for name in trainer), columns, is_full=is_full)
    lines += render("Run", [Option("config"), *general, Option("print_config"), *grouped], columns, is_full=is_full)
    if not is_full:
        lines += ["", f"All options: {command} --help-all"]
    return "\n".join(lines)


def section_help(
    section: str, owners: Mapping[str, type], owner: type | None, config: Namespace, columns: int, *, is_full: bool
) -> list[str]:
    """The options of a data set or model, with their values in the configuration; of all classes if none is chosen."""
    what, names = "Data set" if section == "data" else "Model", ", ".join(owners)
    if owner is not None:
        options = [
            replace(option, value=config.get(f"{section}.init_args.{option.name.removeprefix(f'{section}.')}"))
            for option in options_of(parser_of_class(section, owner))
        ]
        return render(f"{what}: {owner.__name__} (--{section}, one of {names})", options, columns, is_full=is_full)
    by_class = {
        name: {option.name: option for option in options_of(parser_of_class(section, one))}
        for name, one in owners.items()
    }
    common: dict[str, Option] = {}  # options that all classes have, with the default if it is the same for all
    for name, option in next(iter(by_class.values())).items():
        others = [options[name] for options in by_class.values() if name in options]
        if len(others) == len(by_class):
            is_same = all(other.value == option.value for other in others)
            common[name] = option if is_same else replace(option, value=None)
    lines = render(f"{what}: --{section}, one of {names}. Common options", common.values(), columns, is_full=is_full)
    lines += ["", f"Further options by class; explained by --{section} NAME --help:"]
    for class_name, own in by_class.items():
        text = f"  {class_name}: {', '.join(f'--{name}' for name in own if name not in common) or 'none'}"
        lines += textwrap.wrap(text, columns, subsequent_indent=6 * " ", break_on_hyphens=False)
    return lines


@dataclass(frozen=True)
class Option:
    """One option in help; ``metavar`` has its choices in braces, if there are any."""

    name: str
    text: str = ""
    metavar: str = ""
    value: Any = None

    def lines(self, columns: int, *, is_full: bool) -> list[str]:
        # Without markup: a role such as :attr:`~module.name`, and backquotes.
        text = re.sub(r":[\w:]+:`~?([^`<]*)(?:<[^>]*>)?`", r"\1", OWN_TEXTS.get(self.name, self.text))
        text = " ".join(text.replace("`", "").split())
        # The first clause ends at a semicolon or full stop that no bracket encloses.
        parts = [text if is_full else re.split(r"(?:;|\.(?= |$))(?![^(\[]*[)\]])", text, maxsplit=1)[0]]
        parts += [self.metavar.replace(",", ", ")] if "{" in self.metavar else []
        if self.value not in (None, ""):
            value = str(self.value).lower() if isinstance(self.value, bool) else self.value
            parts.append(f"[{', '.join(map(str, value)) if isinstance(value, list | tuple) else value}]")
        left, margin = f"  --{self.name}", NAME_COLUMNS * " "
        is_long = len(left) + 2 > NAME_COLUMNS
        first = margin if is_long else left.ljust(NAME_COLUMNS)
        text = " ".join(parts)
        rows = textwrap.wrap(text, columns, initial_indent=first, subsequent_indent=margin, break_on_hyphens=False)
        return [left, *rows] if is_long or not rows else rows


def render(title: str, options: Iterable[Option], columns: int, *, is_full: bool) -> list[str]:
    return [
        "",
        *textwrap.wrap(f"{title}:", columns),
        *(line for one in options for line in one.lines(columns, is_full=is_full)),
    ]


def options_of(parser: ArgumentParser) -> list[Option]:
    """All options of a parser that take a value, in order."""
    return [
        Option(action.dest, action.help or "", str(action.metavar), action.default)
        for action in options_of_parser(parser)
        if action.default != SUPPRESS and not action.dest.endswith(".help")
    ]


def parser_of_class(section: str, owner: type) -> ArgumentParser:
    """A parser of the options of a data set or model."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(owner, section, skip={"facts", "monitor"})  # which the CLI sets
    return parser
