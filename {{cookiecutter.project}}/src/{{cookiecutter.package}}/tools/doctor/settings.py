"""The settings of a training: where each comes from, and those that do not do what they seem to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Trainer

from ...data import ImageDataModule
from ...engine.command_line import Command, require_compiler
from ...engine.environment import num_cpus
from ...engine.findings import Finding, refusal
from ...engine.recipes import values_of
from ...engine.record import flatten
from ...engine.resume import Origin
from ...engine.run_directory import RunSettings, require_location
from ...errors import UserError, program_name, shown, some, without_secrets
from ...models import ImageClassifier

COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Setting:
    """A setting by its name on the command line; what it replaces, each with its source, the first one first."""

    name: str
    value: str
    source: str  # a config file, the command line, or the defaults
    default: str | None  # None if there is none
    replaced: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        return self.value != self.default or bool(self.replaced)

    @property
    def line(self) -> str:
        before = list(self.replaced)
        if self.default not in {None, self.value}:
            before.append(f"default {self.default}")
        instead = f" (instead of {', '.join(before)})" if before else ""
        return f"{self.name}: {self.value} from {self.source}{instead}"


def named(config: Mapping[str, Any]) -> dict[str, str]:
    """All settings of a config by their names on the command line."""
    return dict(flatten(config, without=()))


@dataclass
class Resolved:
    """The settings that a command line resolves to, and where they come from."""

    command: Command

    @cached_property
    def config(self) -> dict[str, Any]:
        """All settings as plain types; secrets are masked, because this is printed."""
        masked: dict[str, Any] = without_secrets(self.command.resolved)
        return masked

    @cached_property
    def known(self) -> dict[str, str]:
        """All settings by their names on the command line."""
        return named(self.config)

    @cached_property
    def sources(self) -> list[tuple[str, dict[str, str]]]:
        """The config files, in the order in which they are read, then the command line, each with its settings."""
        command, found = self.command, []
        for file in [*map(str, command.form.default_files), *values_of(command.args, "--config", "-c")]:
            is_file = Path(file).is_file()
            content = yaml.safe_load(Path(file).read_text(encoding="utf-8") if is_file else file) or {}
            name = shown(Path(file)) if is_file else "a config in the command line"
            found.append((name, named(without_secrets(content))))
        return [*found, (COMMAND_LINE, dict(options(without_secrets(command.args))))]

    @cached_property
    def defaults(self) -> dict[str, str]:
        """The settings of this data set and this model without any config or option."""
        form = self.command.form
        classes = [f"--{section}={self.config[section]['class_path']}" for section in form.tables]
        return named(Command(replace(form, default_files=()), classes).resolved)


@dataclass
class Trial:
    """What the user's training would use, with data that write no cache; ``command`` has the user's own settings."""

    command: Command
    arguments: dict[str, Any]  # of the user's data set
    origin: Origin
    parts: Command  # has built the following
    data: ImageDataModule
    model: ImageClassifier
    initial: dict[str, Any]  # the state of the model before its first step
    trainer: Trainer  # with the user's settings; trains nothing
    folder: Path  # temporary

    @property
    def cache(self) -> str | None:
        """Where the user's training stores decoded images: an option of some data sets."""
        return self.arguments.get("cache")


def options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names and values of the options of a command line, without configs; classes by their bare names."""
    for position, word in enumerate(words):
        name, is_assigned, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name == "config":
            continue
        following = words[position + 1] if position + 1 < len(words) else ""
        given = value if is_assigned else "true" if following.startswith("--") else following
        yield name.replace(".init_args", "").removesuffix(".class_path"), given


def explain(resolved: Resolved) -> list[Setting]:
    """All settings of the training, in the order of the resolved config."""
    found = []
    for name, value in resolved.known.items():
        given = [(source, layer[name]) for source, layer in resolved.sources if name in layer]
        before = tuple(f"{old} in {source}" for source, old in given[:-1] if old != value)
        default = None if name in resolved.command.form.tables else resolved.defaults.get(name)
        found.append(Setting(name, value, given[-1][0] if given else "default", default, before))
    return found


def examine_settings(resolved: Resolved) -> Iterator[Finding]:
    """Settings that have no effect, or another effect than they seem to have."""
    yield from unused(resolved)
    yield from twice(without_secrets(resolved.command.args))
    yield from contradictions(resolved.known)


def unused(resolved: Resolved) -> Iterator[Finding]:
    """Settings in configs that another class of data set or model, on the command line, does not have."""
    known = resolved.known
    for source, layer in resolved.sources:
        lost = [name for name in layer if name.split(".")[0] in ("data", "model") and not is_known(name, known)]
        if lost:
            kinds = sorted({name.split(".")[0] for name in lost})
            chosen = " and ".join(f"{kind} is {known[kind]}" for kind in kinds)
            why = "the values are dropped, because this class has no such argument"
            remedy = f"{program_name()} fit --{kinds[0]} {known[kinds[0]]} --help lists its arguments"
            yield Finding("warning", "settings", f"{source} sets {some(lost)}, and {chosen}", why, remedy)


def is_known(name: str, known: Iterable[str]) -> bool:
    return any(one == name or one.startswith(f"{name}.") for one in known)


def twice(words: Sequence[str]) -> Iterator[Finding]:
    """Options that the command line gives twice."""
    seen: dict[str, str] = {}
    for name, value in options(words):
        if name in seen and seen[name] != value:
            what = f"--{name} is given twice, as {seen[name]} and as {value}"
            yield Finding("warning", "settings", what, "the last one is used", f"leave out --{name} {seen[name]}")
        seen[name] = value


def contradictions(known: Mapping[str, str]) -> Iterator[Finding]:
    """Combinations of settings in which one has no effect or makes the training slow."""
    epochs, patience = known["trainer.max_epochs"], known.get("early_stopping.patience", "null")
    if patience != "null" and epochs not in {"null", "-1"} and int(patience) >= int(epochs):
        what = f"early_stopping.patience is {patience}, and trainer.max_epochs is {epochs}"
        remedy = f"--early_stopping.patience {max(1, int(epochs) // 4)}"
        yield Finding("warning", "settings", what, "the training never stops early", remedy)
    schedule, steps = known.get("model.schedule.name"), known.get("model.schedule.step_epochs", "1")
    if schedule == "step" and epochs.isdigit() and int(steps) >= int(epochs):
        what = f"model.schedule.step_epochs is {steps}, and trainer.max_epochs is {epochs}"
        remedy = f"--model.schedule.step_epochs {max(1, int(epochs) // 3)}, or --model.schedule.name constant"
        yield Finding("warning", "settings", what, "the learning rate is never reduced", remedy)
    head, part = known.get("model.head_epochs", "0"), known.get("model.unfreeze", "none")
    if part != "none" and epochs.isdigit() and int(head) >= int(epochs):
        what = f"model.head_epochs is {head}, and trainer.max_epochs is {epochs}"
        why = f"the backbone is never trained, although model.unfreeze is {part}"
        remedy = f"--model.head_epochs {int(epochs) // 2}, --trainer.max_epochs {2 * int(head)}, or "
        yield Finding("warning", "settings", what, why, f"{remedy}--model.unfreeze none")
    workers = int(known.get("data.num_workers", "0"))
    if workers > num_cpus():
        what = f"data.num_workers is {workers}, and this process may use {num_cpus()} cores"
        yield Finding("warning", "settings", what, "workers wait for each other", "--data.num_workers 0")
    if known["trainer.fast_dev_run"] not in {"false", "0"} or known["trainer.overfit_batches"] not in {"0", "0.0"}:
        what = "trainer.fast_dev_run or trainer.overfit_batches is set"
        yield Finding("warning", "settings", what, "the training uses a few batches only", "leave the option out")


def examine_place(command: Command, run: Path | None) -> Iterator[Finding]:
    """Whether the run directory can be created, and a compiler exists if it is needed."""
    try:
        if run is None:
            require_location(RunSettings(**vars(command.config.run)))
        if command.config.compile:
            require_compiler()
    except UserError as error:
        yield refusal("settings", error)
