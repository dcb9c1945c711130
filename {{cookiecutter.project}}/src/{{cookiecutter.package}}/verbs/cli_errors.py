"""Rewrites error messages of jsonargparse as one sentence with the valid choices."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from ..errors import UserError, did_you_mean
from ..program import program_name
from .recipes import suggest

Classes = Mapping[str, Mapping[str, type]]
Rule = Callable[["Problem"], str]

MAX_MEANT = 4  # maximum number of options that a message suggests
LINKED = {"facts", "monitor"}  # set by the CLI
TYPE_NAMES = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "text"}


class Choices:
    """Valid verbs, options and classes.

    Args:
        verb: the given verb.
        options: full names of all options that do not depend on a class, such as ``trainer.max_epochs``.
        classes: for ``data`` and ``model``, the classes by name.
    """

    def __init__(self, verb: str, options: Iterable[str], classes: Classes) -> None:
        self.verb = verb
        self.options = set(options)
        self.classes = classes

    def arguments(self, section: str, class_name: str, group: str) -> list[str]:
        """Full names of the arguments of a class, or of one of its groups of settings."""
        owner: Any = self.classes[section][class_name]
        settings = get_type_hints(owner.__init__).get(group)
        if is_dataclass(settings):
            return [f"{section}.{group}.{field.name}" for field in fields(settings)]
        return [f"{section}.{name}" for name in inspect.signature(owner).parameters if name not in LINKED]

    def all_arguments(self, section: str, class_name: str) -> list[str]:
        """Full names of the arguments of a class and of its groups of settings."""
        names = self.arguments(section, class_name, "")
        inner = [self.arguments(section, class_name, name.removeprefix(f"{section}.")) for name in names]
        return sorted({*names, *(name for group in inner for name in group)})

    def all_options(self) -> list[str]:
        """Full names of all options, including those of every class."""
        of_classes = [self.all_arguments(section, name) for section, known in self.classes.items() for name in known]
        return list(dict.fromkeys([*sorted(self.options), *(name for names in of_classes for name in names)]))


@dataclass(frozen=True)
class Problem:
    """Input of a rule; its keys are the groups of the matched pattern."""

    match: re.Match[str]
    section: str
    choices: Choices

    def __getitem__(self, group: str) -> str:
        return self.match[group]

    @property
    def key(self) -> str:
        """Full name of the option with the wrong value."""
        key = self["key"]
        return key if key == self.section else f"{self.section}.{key}"


def explain(message: str, choices: Choices) -> UserError:
    """Translate an error message of the parser; a message without a rule is only shortened."""
    for pattern, rule in RULES:
        match = re.search(pattern, message, re.DOTALL)
        if match:
            return UserError(rule(Problem(match, section_of(message), choices)))
    return UserError(re.sub(r"\s*\n\s*", " ", message.split("Given value type")[0]).strip())


def mistake_within(error: BaseException) -> UserError | None:
    """The UserError that caused another exception: jsonargparse wraps exceptions of constructors."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError):
        cause = cause.__cause__ or cause.__context__
    return cause


def section_of(message: str) -> str:
    """The first section of the config in a parser message: ``model`` in 'Parser key "model":'."""
    match = re.search(r'Parser key "([\w.]+)"', message)
    return match[1] if match else ""


def explain_argument(problem: Problem) -> str:
    class_name = problem["class"].rsplit(".", 1)[-1]
    group = problem.match.groupdict().get("group")
    path = f"{group}.{problem['given']}" if group else problem["given"]
    given = f"{problem.section}.{path}"
    known = problem.choices.arguments(problem.section, class_name, path.rpartition(".")[0])
    same_end = with_end(given, problem.choices.all_arguments(problem.section, class_name))
    hint = (
        f"Did you mean {same_end[0]!r}? Valid choices: {', '.join(known)}." if same_end else did_you_mean(given, known)
    )
    return f"{class_name} has no argument {given!r}. {hint}"


def explain_class(problem: Problem) -> str:
    message = problem.match.string
    given = re.search(r"'class_path': '([^']*)'", message) or re.search(r"Given value: (\S+)", message)
    name, classes = given[1] if given else "", problem.choices.classes[problem.section]
    return f"{problem.section} is {name!r}, which is not a class of this project. {did_you_mean(name, classes)}"


def explain_value(problem: Problem) -> str:
    return f"{problem.key} is {problem['value']!r}; it must be {allowed(problem['type'])}."


def explain_union(problem: Problem) -> str:
    subtypes = [allowed(subtype) for subtype in re.split(r",\s*(?![^\[]*\])", problem["types"])]
    return f"{problem.key} is {problem['value']!r}; it must be {' or '.join(subtypes)}."


def explain_option(problem: Problem) -> str:
    given = problem["given"].lstrip("-").split("=")[0]
    near = nearest_options(given, problem.choices.all_options())
    sections = {option.split(".")[0] for option in problem.choices.options}
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else did_you_mean(given.split(".")[0], sections)
    where = f"{program_name()} {problem.choices.verb} --help-all"
    return f"there is no option {problem['given']!r}. {hint} All options: {where}."


def nearest_options(given: str, known: Sequence[str]) -> list[str]:
    """Full names similar to ``given``: with the same end, the same beginning, or similar spelling."""
    candidates = with_end(given, known) or [option for option in known if option.startswith(given)]
    candidates = candidates or difflib.get_close_matches(given, known, n=1, cutoff=0.75)
    if not candidates and "." not in given:
        ends = {option.rpartition(".")[2]: option for option in known}
        similar = [end for end in ends if end.endswith(f"_{given}")]
        similar = similar or difflib.get_close_matches(given, ends, cutoff=0.75)
        candidates = [ends[end] for end in similar]
    return candidates[:1] if "." in given else candidates[:MAX_MEANT]


def with_end(given: str, known: Sequence[str]) -> list[str]:
    """Names with the same last part, the most similar first: ``model.optimizer.lr`` for ``lr``."""
    found = [option for option in known if option.rpartition(".")[2] == given.rpartition(".")[2]]
    return sorted(found, key=lambda option: -difflib.SequenceMatcher(None, given, option).ratio())


def explain_stray(problem: Problem) -> str:
    return (
        f"{problem['given']!r} is not an option: options begin with --, for example --config configs/digits_cnn.yaml."
    )


def explain_file(problem: Problem) -> str:
    return f"--config is {problem['path']!r}, but there is no such file. {suggest(problem['path'])}"


def explain_yaml(problem: Problem) -> str:
    reason = re.sub(r"\s*\n\s*", " ", problem["reason"])
    return f"a config file is not valid YAML: {reason}. Correct that line."


def explain_required(problem: Problem) -> str:
    names = re.sub(r"\b\w+\.(?=data|model)", "", problem["names"])
    classes = "; ".join(f"--{section} one of {', '.join(known)}" for section, known in problem.choices.classes.items())
    return f"missing: {names}. Start from a recipe (--config configs/digits_cnn.yaml), or name classes: {classes}."


def allowed(type_name: str) -> str:
    """'a number' for "<class 'float'>", "one of 'a', 'b'" for "typing.Literal['a', 'b']"."""
    literal = re.search(r"Literal\[(.*)\]", type_name)
    if literal:
        return f"one of {literal[1]}"
    simple = re.search(r"<class '(\w+)'>", type_name)
    if simple:
        return "null" if simple[1] == "NoneType" else TYPE_NAMES.get(simple[1], simple[1])
    return type_name


# The first match is used, so specific patterns come before general ones.
NAMED = r"(?P<given>[\w.]+)"
VALUE = r'Parser key "(?P<key>[\w.]+)":\s*Expected an? (?P<type>[^\n]*)\. Got value: (?P<value>[^\n]*)'
UNION = r'Parser key "(?P<key>[\w.]+)":\s*Does not validate against any of the Union subtypes\s*'
UNION += r"Subtypes: \[(?P<types>[^\n]*)\]\n.*?Given value: (?P<value>[^\n]*)"
CLASS_PROBLEM = r"Problem with given class_path '(?P<class>[\w.]+)':\s*"
RULES: list[tuple[str, Rule]] = [
    (CLASS_PROBLEM + rf"Option '{NAMED}' is not accepted", explain_argument),
    (CLASS_PROBLEM + rf"unrecognized arguments: --{NAMED}", explain_argument),
    (CLASS_PROBLEM + rf"Group '(?P<group>[\w.]+)' does not accept option '{NAMED}'", explain_argument),
    (CLASS_PROBLEM + VALUE, explain_value),
    (CLASS_PROBLEM + UNION, explain_union),
    (r"Expected a dot import path string|does not correspond to a subclass|Not a valid subclass", explain_class),
    (VALUE, explain_value),
    (UNION, explain_union),
    (r"unrecognized arguments: (?P<given>--\S+)", explain_option),
    (r"unrecognized arguments: (?P<given>\S+)", explain_stray),
    (rf"does not accept option '{NAMED}'", explain_option),
    (r"File does not exist: '(?P<path>[^']*)'", explain_file),
    (r"Problems parsing config: (?P<reason>.*)", explain_yaml),
    (r"the following arguments are required: (?P<names>[\w., ]+)", explain_required),
]
