"""Search for better hyperparameters of a recipe, and compare the best trial with the shipped recipe."""

import itertools
import math
import shlex
import sys
import textwrap
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from ...engine.companions import Companion
from ...engine.recipes import VerbParser, find_config
from ...engine.record import WITHOUT_EFFECT
from ...errors import UserError, program_name
from ...files import write_text, writing
from ...fit import resolve
from ...values import Count, Depth, Positive
from .comparison import Comparison, compare_recipes
from .page import note, short, shown_value, write_search
from .study import (
    PROBLEM,
    SHIPPED,
    Search,
    best_trial,
    concluded,
    examples,
    keeping,
    open_study,
    requeue,
    shipped_trial,
)
from .sweep import Sweep, plain, read_sweep, text_of

NUM_TRIALS = 20
STUDY, LOCK = "study.db", "study.lock"
EPILOGUE = """\
All other options are passed to fit in every trial: --data.root photos/ --trainer.max_epochs 5

The first trial is the shipped recipe. At the end, it and the best recipe are trained with three other seeds and
compared on the validation and the test images. The same command with the same study continues an interrupted search.
"""


def tune(arguments: Sequence[str], companions: Sequence[Companion] = ()) -> int:
    """Search, compare, and write the results next to the study; returns 130, as in a shell, after Ctrl-C, else 0."""
    parser = VerbParser("tune", __doc__, EPILOGUE)
    add = parser.add_argument
    add("--sweep", type=Path, required=True, metavar="FILE", help="search space: configs/sweep/*.yaml")
    add("--trials", type=Count, metavar="N", help=f"total number of trials (default: {NUM_TRIALS})")
    add("--minutes", type=Positive, metavar="M", help="start no new trial after M minutes")
    add("--study", type=Path, metavar="FILE", help=f"database of all trials (default: runs/tune/<sweep>/{STUDY})")
    seeds_help = "trainings per trial, with different seeds (default: 1)"
    add("--seeds", type=Depth, default=1, metavar="N", help=seeds_help)
    settings, given = parser.parse_known_args(arguments)  # unknown options are options of fit
    sweep = read_sweep(find_config(str(settings.sweep)) or settings.sweep)
    own = [option for companion in companions for option in companion.trial_options(sweep.name, given)]
    own.append("--trainer.devices=1")
    options = [*sweep.options, *own, *given]
    recipe = resolve(options, companions)
    require_suitable(recipe, sweep)
    require_known_options(sweep, options, companions)
    file: Path = settings.study or Path("runs", "tune", sweep.name, STUDY)
    if file.is_dir():
        raise UserError(f"--study is {str(file)!r}, which is a folder. Give a file, such as {str(file / STUDY)!r}.")
    try:
        with writing("--study", file):
            file.parent.mkdir(parents=True, exist_ok=True)
            # A trial that is marked as running then belongs to a process that has ended.
            lock = FileLock(file.with_name(LOCK)).acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"another process is searching in {str(file.parent)!r}. Wait until it ends, or give --study a file in "
            "another folder."
        ) from error
    with lock, keeping(file):
        first = 0 if isinstance(recipe["seed_everything"], bool) else recipe["seed_everything"]
        seeds = list(range(first, first + settings.seeds))
        try:
            study = open_study(file, sweep, recipe, settings.seeds)
        except UserError:
            with suppress(OSError):  # Windows removes no open file
                file.with_name(LOCK).unlink()
            raise
        search = Search(study, sweep, given, own, seeds, file.parent, companions)
        num_trials = settings.trials or (None if settings.minutes else NUM_TRIALS)
        comparison, is_stopped = run(search, num_trials, settings.minutes)
        write_results(search, comparison, is_stopped)
    return 130 if is_stopped else 0


def require_suitable(recipe: dict[str, Any], sweep: Sweep) -> None:
    """Refuse a recipe with another monitored metric or with several processes."""
    if recipe["monitor"] != sweep.metric:
        raise UserError(
            f"{sweep.file}: metric.name is {sweep.metric}, but the recipe selects its best epoch by "
            f"{recipe['monitor']}. Use the same metric: --monitor {sweep.metric}, or metric.name {recipe['monitor']}."
        )
    devices, num_nodes = recipe["trainer"]["devices"], recipe["trainer"]["num_nodes"]
    if num_nodes != 1 or not (str(devices) == "1" or (isinstance(devices, list) and len(devices) == 1)):
        raise UserError(
            f"trainer.devices is {devices}, trainer.num_nodes is {num_nodes}; tune trains one trial at a time on one "
            "device. Leave them out, select a GPU with --trainer.devices [0], or use wandb sweep."
        )


def require_known_options(sweep: Sweep, options: Sequence[str], companions: Sequence[Companion] = ()) -> None:
    """Check that every parameter is an option of ``fit``, which accepts all its choices or both its bounds."""
    columns = [[(name, value) for value in examples(drawn)] for name, drawn in sweep.space.items()]
    for row in itertools.zip_longest(*columns):
        try:
            resolve([*options, *sweep.trial_options(dict(cell for cell in row if cell))], companions)
        except UserError as error:
            raise UserError(f"{sweep.file}: {error}") from error


def run(search: Search, num_trials: int | None, minutes: float | None) -> tuple[Comparison | None, bool]:
    """Run trials until the study has ``num_trials`` or the time is over, then compare the recipes.

    The time is checked after each trial, so that the shipped recipe is always trained. Returns the comparison, if any,
    and whether the user stopped the search with Ctrl-C.
    """
    study, limit = search.study, math.inf if num_trials is None else num_trials
    end = math.inf if minutes is None else time.monotonic() + 60 * minutes
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=sys.stdout), redirect_stdout=False) as progress:
        bar = progress.add_task("trials", total=num_trials)

        def show_count() -> None:
            best = best_trial(study)
            text = f"best {search.sweep.metric} {shown_value(best)} (trial {best.number})" if best else "trials"
            progress.update(bar, completed=len(concluded(study)), description=text)

        try:
            show_count()
            while len(concluded(study)) < limit:
                trial = search.run_trial()
                drawn = "  ".join(f"{short(name, trial.params)}={text_of(v)}" for name, v in trial.params.items())
                problem = f": {trial.user_attrs[PROBLEM]}" if PROBLEM in trial.user_attrs else ""
                line = f"trial {trial.number:<3} {shown_value(trial):7} {drawn}  {note(trial)}{problem}"
                progress.console.print(escape(line.rstrip()), highlight=False, soft_wrap=True)
                show_count()
                if time.monotonic() >= end:
                    break
            return compare_recipes(search, progress), False
        except KeyboardInterrupt:
            requeue(study)
            return None, True


def write_results(search: Search, comparison: Comparison | None, is_stopped: bool) -> None:
    """Write ``best.yaml`` and ``tune.html``, and print the result."""
    sweep, trials, best = search.sweep, concluded(search.study), best_trial(search.study)
    if best is None and not is_stopped:
        problem = next(trial.user_attrs[PROBLEM] for trial in trials if PROBLEM in trial.user_attrs)
        raise UserError(f"all {len(trials)} trials failed. The error of the first one: {problem}")
    statement = statement_of(search, comparison)
    if is_stopped:
        statement += " Stopped; the same command continues the search."
    file, page = search.folder / "best.yaml", search.folder / "tune.html"
    command, recipe = f"{program_name()} fit --config {shlex.quote(str(file))}", ""
    if best is not None:
        options = shlex.join([*sweep.options, *search.given])
        recipe = recipe_card(command, f"{statement} Searched: {sweep.file}; recipe: fit {options}", search, best)
        write_text(file, recipe)
        shipped = shipped_trial(search.study)
        table = Table("", Column("shipped", justify="right"), Column(f"best, trial {best.number}", justify="right"))
        table.add_row(sweep.metric, shown_value(shipped) if shipped else "failed", shown_value(best))
        for name, value in best.params.items():
            old = escape(text_of(shipped.params[name])) if shipped else ""
            table.add_row(escape(name), old, escape(text_of(value)))
        Console().print(table)
    write_search(page, search.study, sweep, statement, recipe, comparison)
    print(statement, page, *([command] if recipe else []), sep="\n")


def statement_of(search: Search, comparison: Comparison | None) -> str:
    """Whether the search found a better recipe, in a few sentences."""
    metric, number = search.sweep.metric, len(concluded(search.study))
    best, shipped = best_trial(search.study), shipped_trial(search.study)
    if best is None:
        return "No trial is complete yet."
    if SHIPPED in best.user_attrs:
        return f"No trial of {number} is better than the shipped recipe: {metric} {shown_value(best)}."
    against = f"shipped recipe {shown_value(shipped)}" if shipped else "the shipped recipe failed"
    found = f"Best of {number} trials: trial {best.number} with {metric} {shown_value(best)} ({against})."
    return f"{found} {comparison.statement}" if comparison else found


def recipe_card(command: str, story: str, search: Search, best: FrozenTrial) -> str:
    """A config for ``fit``: class names, values that differ from the defaults, and the searched values."""
    config = resolve(search.recipe_of(best), search.companions)
    classes = [f"--{section}={config[section]['class_path']}" for section in ("data", "model")]
    defaults = resolve(classes, search.companions)
    order = {"data": 0, "model": 1, "trainer": 3}  # all other sections in between
    sections = sorted((section for section in config if section not in WITHOUT_EFFECT), key=lambda s: order.get(s, 2))
    recipe = essential({section: config[section] for section in sections}, defaults, search.sweep)
    lines = ["The best recipe of a search.", "", f"    {command}", ""]
    lines += textwrap.wrap(story, width=118, break_on_hyphens=False)
    comment = "".join(f"# {line}".rstrip() + "\n" for line in lines)
    return comment + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, default_flow_style=None)


def essential(config: dict[str, Any], defaults: dict[str, Any], sweep: Sweep, parent: str = "") -> dict[str, Any]:
    """The settings of a config that name a class, differ from the defaults or are searched."""
    kept = {}
    for key, value in config.items():
        name, default = plain(f"{parent}.{key}".strip(".")), defaults.get(key)
        if isinstance(value, dict):
            if inner := essential(value, default if isinstance(default, dict) else {}, sweep, name):
                kept[key] = inner
        elif key == "class_path" or name in sweep.space or key not in defaults or value != default:
            kept[key] = value
    return kept
