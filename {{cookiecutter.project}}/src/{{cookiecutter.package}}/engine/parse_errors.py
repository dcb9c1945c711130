"""Rewrites error messages of jsonargparse as one sentence with the valid choices."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import UserError, brief, did_you_mean, program_name
from ..values import CHECKED
from .option_help import Classes, parser_of_class
from .recipes import suggest

EXAMPLE = "--config configs/digits_cnn.yaml"
TYPE_NAMES = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "text", "NoneType": "null"}
TYPE_NAMES |= {"Sequence": "a list", "list": "a list", "dict": "a group of settings"}
TYPE_NAMES |= {name: checked.text for name, checked in CHECKED.items()}


@dataclass(frozen=True)
class Explainer:
    """Translates the error messages of a verb's parser."""

    verb: str
    options: Iterable[str]  # full names, such as ``trainer.max_epochs``, without those of classes
    classes: Classes
    words: Sequence[str] = ()  # of the command line

    def explain(self, error: Exception) -> UserError:
        """The error to raise; a message without a rule is only shortened."""
        message = str(error)
        for pattern, rule in RULES:
            if found := re.search(pattern, message, re.DOTALL):
                return UserError(rule(self, found))
        # The text of a library: only its first line, which names the key or the problem, is for users.
        return UserError(f"a setting is wrong: {brief(in_one_line(message.split('Given value')[0]))}.")

    def argument(self, found: re.Match[str]) -> str:
        class_name = found["class"].rsplit(".", 1)[-1]
        if class_name not in self.classes[found["section"]]:  # the base class, if arguments are given without a class
            return self.class_(found)
        given = ".".join(filter(None, found.group("section", "group", "given")))
        arguments = self.arguments(found["section"], class_name)
        siblings = [name for name in arguments if name.rpartition(".")[0] == given.rpartition(".")[0]] or arguments
        if same_end := with_end(given, arguments):
            hint = f"Did you mean {same_end[0]!r}? Valid choices: {', '.join(siblings)}."
        else:
            hint = did_you_mean(given, siblings)
        return f"{class_name} has no argument {given!r}. {hint}"

    def class_(self, found: re.Match[str]) -> str:
        given = re.search(
            r"(?:'class_path': '|key='class_path', val='|Given value: (?!{|NestedArg))([^\s']+)", found.string
        )
        name, known = given[1] if given else "", self.classes[found["section"]]
        return f"{found['section']} is {name!r}, which is not a class of this project. {did_you_mean(name, known)}"

    def value(self, found: re.Match[str]) -> str:
        name = ".".join(filter(None, [found.groupdict().get("section"), found["key"]]))
        types = re.split(r",\s*(?![^\[]*\])", found["types"])
        *others, last = map(allowed, types)
        value = re.sub(r"^NestedArg\(.*?, val=(.*)\)$", r"\1", found["value"])
        value = "null" if value == "None" else brief(value)
        return f"{name} is {value}; it must be {' or '.join([*filter(None, [', '.join(others)]), last])}."

    def checked(self, found: re.Match[str]) -> str:
        name = ".".join(filter(None, [found.groupdict().get("section"), found["key"]]))
        problem = found["problem"].replace("'None';", "null;", 1)
        return f"{name} is {problem}"

    def nested(self, found: re.Match[str]) -> str:
        where = f"{program_name()} {self.verb} --{found['section']} CLASS --help"
        value = brief(found["value"].strip("'"))
        return f"{found['section']}.{found['key']} is {value}, which is not allowed. Its settings: {where}."

    def group(self, found: re.Match[str]) -> str:
        return f"{found['key']} is {brief(found['value'])}; it must be a group of settings (--trainer.max_epochs 3)."

    def instance(self, found: re.Match[str]) -> str:
        if problem := re.search(r"Problem with given class_path '(\S+)':\s*(.*?)\n\s*- ", found.string, re.DOTALL):
            text = re.sub(r'Parser key "([\w.]+)":', r"\1:", in_one_line(problem[2]))
            return f"{found['key']}: {problem[1]} cannot be created: {text}. Correct its init_args."
        given = re.search(r"Given value: ([^\n]*)", found.string)
        kinds = " or ".join(dict.fromkeys(re.findall(r"lightning\.(?:\w+\.)+([A-Z]\w+)", found["types"])))
        value = f" is {brief(given[1])}; it" if given else ""
        return (
            f"{found['key']}{value} must name a class of type {kinds} that can be imported, in class_path, with its "
            "arguments in init_args. Names of Lightning's own need no path (EarlyStopping)."
        )

    def empty(self, found: re.Match[str]) -> str:
        for word, after in zip(self.words, [*self.words[1:], ""], strict=True):
            if word.split(".")[0] == found["name"] and "=" not in word and (not after or after.startswith("-")):
                hint = f", as {word}={after} if it begins with a hyphen" if after[1:2] not in {"", "-"} else ""
                return f"{word} has no value. Give one{hint}."
        return f"{found['name']} has no value. Give one."

    def option(self, found: re.Match[str]) -> str:
        given, options = found["given"].lstrip("-").split("=")[0], self.all_options()
        if near := nearest_options(given, options):
            hint = f"Did you mean {' or '.join(map(repr, near))}?"
        else:
            hint = did_you_mean(given.split(".")[0], {option.split(".")[0] for option in options})
        where = f"{program_name()} {self.verb} --help-all"
        return f"there is no option {found['given']!r}. {hint} All options: {where}."

    def word(self, found: re.Match[str]) -> str:
        return f"{found['given']!r} is not an option: options begin with --, for example {EXAMPLE}."

    def file(self, found: re.Match[str]) -> str:
        return f"--config is {found['path']!r}, but there is no such file. {suggest(found['path'])}"

    def syntax(self, found: re.Match[str]) -> str:
        return f"a config file is not valid YAML: {in_one_line(found['reason'])}. Correct that line."

    def required(self, found: re.Match[str]) -> str:
        names = re.sub(r"\b\w+\.(?=data|model)", "", found["names"])
        classes = "; ".join(f"--{section} one of {', '.join(known)}" for section, known in self.classes.items())
        return f"missing: {names}. Start from a recipe ({EXAMPLE}), or name classes: {classes}."

    def arguments(self, section: str, class_name: str) -> list[str]:
        """Full names of the arguments of a class and of its groups of settings."""
        parser = parser_of_class(section, self.classes[section][class_name])
        return sorted(name for name in parser.get_defaults().keys(branches=True) if name != section)

    def all_options(self) -> list[str]:
        """Full names of all options, including those of every class."""
        of_classes = [self.arguments(section, name) for section, known in self.classes.items() for name in known]
        return list(dict.fromkeys([*sorted(self.options), *(name for names in of_classes for name in names)]))


# The first match is used, so specific patterns come before general ones.
CLASS_PROBLEM = r'Parser key "(?P<section>\w+)":.*?Problem with given class_path \'(?P<class>[\w.]+)\':\s*'
ARGUMENT = r"(?:Option '|unrecognized arguments: --|Group '(?P<group>[\w.]+)' does not accept option ')"
ARGUMENT += r"(?P<given>[\w.]+)"
CLASS = r'Parser key "(?P<section>data|model)":.*'
CLASS += r"(?:Expected a dot import path string|does not correspond to a subclass|Not a valid subclass)"
VALUE = r'Parser key "(?P<key>[\w.]+)":\s*'
VALUE += r"(?:Expected an? |Does not validate against any of the Union subtypes\s*Subtypes: \[)(?P<types>[^\n]*)"
VALUE += r"(?:\. Got value: |\]\n.*?Given value: )(?P<value>[^\n]*)"
CLASS_GIVEN = r"Parser key \"(?P<section>data|model)\":.*key='class_path', val="
NESTED = r"Parser key \"(?P<section>data|model)\":.*"
NESTED += r"Given value: NestedArg\(key='(?P<key>[\w.]+)', val=(?P<value>[^\n]*)\)"
INSTANCE = r'Parser key "(?P<key>trainer\.\w+)":.*?Subtypes: \[(?P<types>[^\n]*lightning\.[^\n]*)'
CHECKED_VALUE = r'Parser key "(?P<key>[\w.]+)":\s*Not of type \w+: (?P<problem>[^\n]*)'
RULES = (
    (CLASS_PROBLEM + ARGUMENT, Explainer.argument),
    (CLASS_PROBLEM + CHECKED_VALUE, Explainer.checked),
    (CLASS_PROBLEM + VALUE, Explainer.value),
    (CLASS_GIVEN, Explainer.class_),
    (NESTED, Explainer.nested),
    (CLASS, Explainer.class_),
    (r'Parser key "(?P<key>\w+)":\s*Unable to load config \'(?P<value>[^\n]*)\'', Explainer.group),
    (INSTANCE, Explainer.instance),
    (CHECKED_VALUE, Explainer.checked),
    (VALUE, Explainer.value),
    (r"(?:unrecognized arguments: (?=--)|does not accept option '|Option ')(?P<given>[^\s']+)", Explainer.option),
    (r"unrecognized arguments: (?P<given>\S*)", Explainer.word),
    (r"argument (?:-\w/)?(?P<name>--[\w.]+): expected one argument", Explainer.empty),
    (r"Unexpected config:\s*(?P<path>.*)", Explainer.file),
    (r"File does not exist: '(?P<path>[^']*)'", Explainer.file),
    (r"Problems parsing config: (?P<reason>.*)", Explainer.syntax),
    (r"the following arguments are required: (?P<names>[\w., ]+)", Explainer.required),
)


def allowed(type_name: str) -> str:
    """'a number' for "<class 'float'>", "one of 'a', 'b'" for "typing.Literal['a', 'b']"."""
    if literal := re.search(r"Literal\[(.*)\]", type_name):
        return f"one of {literal[1]}" if "," in literal[1] else literal[1]
    simple = re.search(r"<class '(?:\w+\.)*(\w+)'>", type_name)
    return TYPE_NAMES.get(simple[1], simple[1]) if simple else type_name


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


def in_one_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).strip()
