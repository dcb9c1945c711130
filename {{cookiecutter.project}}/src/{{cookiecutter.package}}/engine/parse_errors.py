"""Rewrites error messages of jsonargparse as one sentence with the valid choices."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..errors import UserError, did_you_mean, program_name
from .option_help import Classes, parser_of_class
from .recipes import suggest

EXAMPLE = "--config configs/digits_cnn.yaml"
TYPE_NAMES = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "text", "NoneType": "null"}


@dataclass(frozen=True)
class Choices:
    """Valid options and classes of a verb. Options have full names, such as ``trainer.max_epochs``, and no class."""

    verb: str
    options: Iterable[str]
    classes: Classes

    def arguments(self, section: str, class_name: str) -> list[str]:
        """Full names of the arguments of a class and of its groups of settings."""
        parser = parser_of_class(section, self.classes[section][class_name])
        return sorted(name for name in parser.get_defaults().keys(branches=True) if name != section)

    def all_options(self) -> list[str]:
        """Full names of all options, including those of every class."""
        of_classes = [self.arguments(section, name) for section, known in self.classes.items() for name in known]
        return list(dict.fromkeys([*sorted(self.options), *(name for names in of_classes for name in names)]))


def explain(message: str, choices: Choices) -> UserError:
    """Translate an error message of the parser; a message without a rule is only shortened."""
    key = re.search(r'Parser key "([\w.]+)"', message)
    for pattern, rule in RULES:
        if match := re.search(pattern, message, re.DOTALL):
            return UserError(rule(Problem(match, key[1] if key else "", choices)))
    return UserError(in_one_line(message.split("Given value type")[0]))


def in_one_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).strip()


def mistake_within(error: BaseException) -> UserError | None:
    """The UserError that caused another exception: jsonargparse wraps exceptions of constructors."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError):
        cause = cause.__cause__ or cause.__context__
    return cause


@dataclass(frozen=True)
class Problem:
    """Input of a rule; its keys are the groups of the matched pattern."""

    match: re.Match[str]
    section: str  # ``model`` in 'Parser key "model":'
    choices: Choices

    def __getitem__(self, group: str) -> str:
        return self.match[group]


def explain_argument(problem: Problem) -> str:
    class_name = problem["class"].rsplit(".", 1)[-1]
    groups = [problem.section, problem.match.groupdict().get("group"), problem["given"]]
    given = ".".join(group for group in groups if group)
    arguments = problem.choices.arguments(problem.section, class_name)
    siblings = [name for name in arguments if name.rpartition(".")[0] == given.rpartition(".")[0]] or arguments
    same_end = with_end(given, arguments)
    hint = (
        f"Did you mean {same_end[0]!r}? Valid choices: {', '.join(siblings)}."
        if same_end
        else did_you_mean(given, siblings)
    )
    return f"{class_name} has no argument {given!r}. {hint}"


def explain_class(problem: Problem) -> str:
    message = problem.match.string
    given = re.search(r"'class_path': '([^']*)'", message) or re.search(r"Given value: (\S+)", message)
    name, known = given[1] if given else "", problem.choices.classes[problem.section]
    return f"{problem.section} is {name!r}, which is not a class of this project. {did_you_mean(name, known)}"


def explain_value(problem: Problem) -> str:
    section, key = problem.section, problem["key"]
    name = section if key == section else f"{section}.{key}"
    types = re.split(r",\s*(?![^\[]*\])", problem["types"])
    return f"{name} is {problem['value']!r}; it must be {' or '.join(map(allowed, types))}."


def allowed(type_name: str) -> str:
    """'a number' for "<class 'float'>", "one of 'a', 'b'" for "typing.Literal['a', 'b']"."""
    if literal := re.search(r"Literal\[(.*)\]", type_name):
        return f"one of {literal[1]}"
    simple = re.search(r"<class '(\w+)'>", type_name)
    return TYPE_NAMES.get(simple[1], simple[1]) if simple else type_name


def explain_option(problem: Problem) -> str:
    given = problem["given"].lstrip("-").split("=")[0]
    options = problem.choices.all_options()
    near, sections = nearest_options(given, options), {option.split(".")[0] for option in options}
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else did_you_mean(given.split(".")[0], sections)
    where = f"{program_name()} {problem.choices.verb} --help-all"
    return f"there is no option {problem['given']!r}. {hint} All options: {where}."


def nearest_options(given: str, known: Sequence[str]) -> list[str]:
    """Up to four full names similar to ``given``: with the same end, the same beginning, or similar spelling."""
    candidates = with_end(given, known) or [option for option in known if option.startswith(given)]
    candidates = candidates or difflib.get_close_matches(given, known, n=1, cutoff=0.75)
    if not candidates and "." not in given:
        ends = {option.rpartition(".")[2]: option for option in known}
        similar = [end for end in ends if end.endswith(f"_{given}")]
        similar = similar or difflib.get_close_matches(given, ends, cutoff=0.75)
        candidates = [ends[end] for end in similar]
    return candidates[:1] if "." in given else candidates[:4]


def with_end(given: str, known: Sequence[str]) -> list[str]:
    """Names with the same last part, the most similar first: ``model.optimizer.lr`` for ``lr``."""
    found = [option for option in known if option.rpartition(".")[2] == given.rpartition(".")[2]]
    return sorted(found, key=lambda option: -difflib.SequenceMatcher(None, given, option).ratio())


def explain_required(problem: Problem) -> str:
    names = re.sub(r"\b\w+\.(?=data|model)", "", problem["names"])
    classes = "; ".join(f"--{section} one of {', '.join(known)}" for section, known in problem.choices.classes.items())
    return f"missing: {names}. Start from a recipe ({EXAMPLE}), or name classes: {classes}."


# The first match is used, so specific patterns come before general ones.
NAMED = r"(?P<given>[\w.]+)"
VALUE = r'Parser key "(?P<key>[\w.]+)":\s*Expected an? (?P<types>[^\n]*)\. Got value: (?P<value>[^\n]*)'
UNION = r'Parser key "(?P<key>[\w.]+)":\s*Does not validate against any of the Union subtypes\s*'
UNION += r"Subtypes: \[(?P<types>[^\n]*)\]\n.*?Given value: (?P<value>[^\n]*)"
CLASS_PROBLEM = r"Problem with given class_path '(?P<class>[\w.]+)':\s*"
RULES: list[tuple[str, Callable[[Problem], str]]] = [
    (CLASS_PROBLEM + rf"Option '{NAMED}' is not accepted", explain_argument),
    (CLASS_PROBLEM + rf"unrecognized arguments: --{NAMED}", explain_argument),
    (CLASS_PROBLEM + rf"Group '(?P<group>[\w.]+)' does not accept option '{NAMED}'", explain_argument),
    (CLASS_PROBLEM + VALUE, explain_value),
    (CLASS_PROBLEM + UNION, explain_value),
    (r"Expected a dot import path string|does not correspond to a subclass|Not a valid subclass", explain_class),
    (VALUE, explain_value),
    (UNION, explain_value),
    (r"unrecognized arguments: (?P<given>--\S+)", explain_option),
    (
        r"unrecognized arguments: (?P<given>\S+)",
        lambda found: f"{found['given']!r} is not an option: options begin with --, for example {EXAMPLE}.",
    ),
    (rf"does not accept option '{NAMED}'", explain_option),
    (rf"Option '{NAMED}' is not accepted", explain_option),
    (
        r"File does not exist: '(?P<path>[^']*)'",
        lambda found: f"--config is {found['path']!r}, but there is no such file. {suggest(found['path'])}",
    ),
    (
        r"Problems parsing config: (?P<reason>.*)",
        lambda found: f"a config file is not valid YAML: {in_one_line(found['reason'])}. Correct that line.",
    ),
    (r"the following arguments are required: (?P<names>[\w., ]+)", explain_required),
]
