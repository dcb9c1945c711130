"""Search for better hyperparameters of a recipe, and compare the best trial with the shipped recipe."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .recipes import find_config
from .search.outcome import Outcome, compare, conclude
from .search.progress import SearchProgress
from .search.resolved import Config, look_up, resolve
from .search.search import Budget, Search
from .search.study import FILE_NAME, only_user_of, open_study
from .search.sweep_file import Sweep, read_sweep
from .verb_parser import VerbParser

NUM_TRIALS = 20
INTERRUPTED = 130  # exit status of a shell after Ctrl-C
EPILOGUE = """\
All other options are passed to fit in every trial: --data.root photos/ --trainer.max_epochs 5

The first trial is the shipped recipe. At the end, it and the best recipe are trained with three other seeds and
compared on the validation and the test images. The same command with the same study continues an interrupted search.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = VerbParser("tune", __doc__, EPILOGUE)  # unknown options are options of fit
    parser.add_argument("--sweep", type=Path, required=True, metavar="FILE", help="search space: configs/sweep/*.yaml")
    parser.add_argument("--trials", type=int, metavar="N", help=f"total number of trials (default: {NUM_TRIALS})")
    parser.add_argument("--minutes", type=float, metavar="M", help="start no new trial after M minutes")
    parser.add_argument(
        "--study", type=Path, metavar="FILE", help=f"database of all trials (default: runs/tune/<sweep>/{FILE_NAME})"
    )
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="trainings per trial, with different seeds (default: 1)"
    )
    return parser


def tune(arguments: Sequence[str]) -> int:
    """Search, compare, and write the results next to the study.

    Returns:
        the exit status: 130 after Ctrl-C, else 0.

    Raises:
        UserError: the sweep, the study or an option is wrong, or all trials failed.
    """
    settings, given = build_parser().parse_known_args(arguments)
    require_above_zero(settings)
    sweep = read_sweep(find_config(str(settings.sweep)) or settings.sweep)
    own = own_options(sweep, given)
    options = [*sweep.options, *own, *given]
    recipe = resolve(options)
    require_suitable(recipe, sweep)
    sweep.require_known_options(options)
    file: Path = settings.study or Path("runs", "tune", sweep.name, FILE_NAME)
    first = first_seed(recipe)
    with only_user_of(file.parent):
        study = open_study(file, sweep, recipe, settings.seeds)
        search = Search(study, sweep, given, own, list(range(first, first + settings.seeds)), file.parent)
        return run(search, Budget(settings.trials or (None if settings.minutes else NUM_TRIALS), settings.minutes))


def require_above_zero(settings: argparse.Namespace) -> None:
    for name in ("trials", "minutes", "seeds"):
        value = getattr(settings, name)
        if value is not None and value <= 0:
            raise UserError(f"--{name} is {value}; it must be {'above 0' if name == 'minutes' else '1 or more'}.")


def own_options(sweep: Sweep, options: Sequence[str]) -> list[str]:
    """Default options of trials: W&B off, or in one group if the user configures it; one device."""
    tracked = any(option.startswith("--tracking.") for option in options)
    tracking = f"--tracking.group=tune-{sweep.name}" if tracked else "--tracking.wandb=off"
    return [tracking, "--trainer.devices=1"]


def require_suitable(recipe: Config, sweep: Sweep) -> None:
    """Refuse a recipe with another monitored metric or with several processes."""
    if recipe["monitor"] != sweep.metric:
        raise UserError(
            f"{sweep.file}: metric.name is {sweep.metric}, but the recipe selects its best epoch by "
            f"{recipe['monitor']}. Use the same metric: --monitor {sweep.metric}, or metric.name {recipe['monitor']}."
        )
    devices, num_nodes = look_up(recipe, "trainer.devices"), look_up(recipe, "trainer.num_nodes")
    if num_nodes != 1 or not (str(devices) == "1" or (isinstance(devices, list) and len(devices) == 1)):
        raise UserError(
            f"trainer.devices is {devices}, trainer.num_nodes is {num_nodes}; tune trains one trial at a time on one "
            "device. Leave them out, select a GPU with --trainer.devices [0], or use wandb sweep."
        )


def first_seed(recipe: Config) -> int:
    seed = recipe["seed_everything"]
    return seed if isinstance(seed, int) and not isinstance(seed, bool) else 0


def run(search: Search, budget: Budget) -> int:
    """Run the search and the comparison, and write the results so far if the user stops it."""
    comparison, stopped = None, False
    with SearchProgress(search, budget) as progress:
        try:
            search.run(budget, progress.show)
            comparison = compare(search, progress)
        except KeyboardInterrupt:
            stopped = True
    conclude(Outcome(search, comparison, stopped))
    return INTERRUPTED if stopped else 0
