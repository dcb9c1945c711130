"""The verb ``fit``: train a model, test its best weights, and write the results into a run directory.

``fit`` below is the whole program. The functions after it are its steps, in the order in which they run.
"""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, LearningRateMonitor
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from .data import DATA_MODULES, ImageDataModule
from .engine.calibration import calibrate
from .engine.checkpoints import (
    CheckpointBundle,
    checkpoint_callbacks,
    load_initial_weights,
    restore_best_weights,
    store_temperature,
)
from .engine.command_line import Command, Form, compile_networks, link_facts
from .engine.companions import Companion, Start, closing
from .engine.contracts import count_parameters
from .engine.fine_tuning import CachedFeatures, CacheFeatures, SayStepSize, StagedFineTuning
from .engine.metrics_table import MetricsTable
from .engine.optimization import AveragingSettings, EarlyStoppingSettings
from .engine.processes import PrepareDDP
from .engine.recipes import find_recipes
from .engine.record import read_run, write_environment
from .engine.results import SplitOutputs, SplitResults, evaluate_test_split, predict_split, print_results
from .engine.resume import ExactResume, Origin, add_resume_options, find_origin, require_same_processes, resume_options
from .engine.run_directory import (
    BEST_CHECKPOINT,
    CONFIG,
    LAST_CHECKPOINT,
    RunSettings,
    StatusFile,
    create_run_directory,
    save_config,
)
from .engine.seen_images import CountTestCopies
from .engine.stopping import LOSSES, DivergedError, SaveWhenStopped, StopWhenDiverged, ending, require_finite_losses
from .engine.summary import summary_facts, write_results
from .errors import program_name, shown
from .facts import ImageFacts, mode_of
from .models import CLASSIFIERS, ImageClassifier
from .models.classifier import MONITORS
from .values import Count, Positive

CLASSES: dict[str, Any] = {"data": (ImageDataModule, DATA_MODULES), "model": (ImageClassifier, CLASSIFIERS)}
log = logging.getLogger(__name__)


def fit(options: Sequence[str], companions: Sequence[Companion] = ()) -> None:
    """Train a model, test its best weights, and write the results into a new run directory.

    Args:
        options: words of the command line after the verb.
        companions: tools that take part, such as the report and experiment tracking.

    Raises:
        UserError: an option is wrong, or the data, the model or a checkpoint cannot be used.
        SystemExit: the training was stopped by a signal (its last checkpoint is saved) or diverged.
    """
    with closing(companions):
        command, resumed_run = parse(options, companions)
        origin = find_origin(command, resumed_run)
        data, model = build(command, origin)
        run = start(command, origin, data, model, companions)
        with ending(run, partial(give_up, run, companions)):
            run.trainer.fit(model, datamodule=data, ckpt_path=origin.file, weights_only=True)
            require_finite_losses(run.trainer)
            restore_best_weights(run.trainer, model)
            results, facts, outputs = test(run)
            conclude(run, results, facts, outputs, companions)


def train(options: Sequence[str], callbacks: Sequence[Callback] = (), companions: Sequence[Companion] = ()) -> None:
    """Train without a test, for a search, which may choose by the validation split only.

    Raises:
        UserError: an option is wrong.
        DivergedError: a loss is infinite or NaN.
    """
    with closing(companions):
        command, resumed_run = parse(options, companions)
        origin = find_origin(command, resumed_run)
        run = start(command, origin, *build(command, origin), companions, callbacks)
        run.trainer.fit(run.model, datamodule=run.data, ckpt_path=origin.file, weights_only=True)
        require_finite_losses(run.trainer)
        run.status.end("finished")


def resolve(options: Sequence[str], companions: Sequence[Companion] = ()) -> dict[str, Any]:
    """All settings that ``fit`` would use with these options, as plain types; reads no data and creates no files."""
    return parse(options, companions)[0].resolved


# The settings.


def add_options(parser: LightningArgumentParser, companions: Sequence[Companion]) -> None:
    """Add the options of a training, besides those of data, model and trainer."""
    add = parser.add_argument
    add("--monitor", type=Literal[MONITORS], default="val/loss", help="metric that decides which epoch is best")
    add("--compile", type=bool, default=False, help="compile the network with torch.compile")
    cache_help = "compute the features of a frozen backbone once instead of in every epoch"
    add("--cache_features", type=CacheFeatures, default="auto", help=cache_help)
    add("--feature_views", type=Count, default=2, help="cached augmented versions of each training image")
    add("--init_from", type=str | None, help="run or checkpoint with the initial weights of the training")
    minutes_help = "also save a checkpoint every N minutes within an epoch"
    add("--checkpoint_every_minutes", type=Positive | None, help=minutes_help)
    allow_help = "evaluate images that the model was trained on, and mark the result"
    add("--allow_trained_images", action="store_true", help=allow_help)
    parser.add_class_arguments(EarlyStoppingSettings, "early_stopping")
    parser.add_class_arguments(AveragingSettings, "averaging")
    parser.add_class_arguments(RunSettings, "run")
    for companion in companions:
        companion.add_options(parser)
    link_facts(parser, list(ImageFacts.__dataclass_fields__))


def add_fit_options(parser: LightningArgumentParser, companions: Sequence[Companion]) -> None:
    add_options(parser, companions)
    add_resume_options(parser)


def parse(options: Sequence[str], companions: Sequence[Companion]) -> tuple[Command, Path | None]:
    """Parse recipes and options; with ``--resume``, start from the config of that run, and return its directory."""
    words, resumed_run = resume_options(
        find_recipes(options), {section: table for section, (_, table) in CLASSES.items()}
    )
    form = Form(
        verb="fit",
        description="Train a model, test its best weights, and write the results into a new run directory.",
        classes=CLASSES,
        add_options=partial(add_fit_options, companions=companions),
        default_files=tuple(file for companion in companions for file in companion.default_files(words)),
    )
    return Command(form, words), resumed_run


# Data set, model, trainer and run directory.


def build(command: Command, origin: Origin) -> tuple[ImageDataModule, ImageClassifier]:
    """Build data set and model; initial weights are loaded, those of a resumed training only when it starts."""
    built = command.build()
    data, model = built.data, built.model
    if origin.initial is not None:
        load_initial_weights(model, origin.initial, command.config.init_from)
    if built.compile:
        compile_networks(model)
    origin.require_same_data(data)
    origin.require_same_layers(model)
    return data, model


@dataclass
class Run:
    """A training that is ready to start."""

    recipe: str
    directory: Path
    settings: Any
    data: ImageDataModule
    model: ImageClassifier
    trainer: Trainer
    status: StatusFile
    bundle: CheckpointBundle
    copies: CountTestCopies
    stopper: SaveWhenStopped


def start(
    command: Command,
    origin: Origin,
    data: ImageDataModule,
    model: ImageClassifier,
    companions: Sequence[Companion],
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Create the run directory, and build the trainer with all callbacks and loggers."""
    settings, config = command.built, command.resolved
    config.pop("resume", None)  # not part of the run's config
    config["run"]["name"] = command.recipe
    directory = create_run_directory(settings.run, command.recipe, origin.run)
    status = StatusFile(directory)  # first, as a run without it cannot be resumed
    if origin.run is None:
        save_config(directory, config)
    write_environment(directory)
    table = MetricsTable(directory, origin.bundle.get("history", []))
    beginning = Start(settings, directory, command.recipe, config, origin.bundle)
    trackers = [logger for companion in companions if (logger := rank_zero_only(companion.start)(beginning))]
    tracker_id = str(trackers[0].version) if trackers else None
    bundle = CheckpointBundle(config, table, tracker_id, origin.bundle, origin.earlier)
    copies = CountTestCopies(data, origin.earlier, is_allowed=settings.allow_trained_images)
    stopper = SaveWhenStopped(directory / LAST_CHECKPOINT)
    features = CachedFeatures(settings.cache_features, settings.feature_views)
    own = [*build_callbacks(settings, directory), copies, bundle, stopper, features, status]
    trainer = command.build_trainer([*own, *callbacks], default_root_dir=directory, logger=[table, *trackers])
    if origin.resumed is not None:
        require_same_processes(origin.resumed, trainer.world_size)
    log.info("%s: %s parameters", type(model).__name__, f"{count_parameters(model):,}")
    return Run(command.recipe, directory, settings, data, model, trainer, status, bundle, copies, stopper)


def build_callbacks(settings: Any, directory: Path) -> list[Callback]:
    """The callbacks of every training; all of them use the same metric. Add your own here, or in a config."""
    monitor = settings.monitor
    callbacks: list[Callback] = [
        *checkpoint_callbacks(directory, monitor, settings.checkpoint_every_minutes),
        StagedFineTuning(),
        ExactResume(),
        LearningRateMonitor(logging_interval="epoch"),
        SayStepSize(),
        *map(StopWhenDiverged, LOSSES),
    ]
    if (patience := settings.early_stopping.patience) is not None:
        min_delta = settings.early_stopping.min_delta
        callbacks.append(EarlyStopping(monitor, min_delta, patience, mode=mode_of(monitor)))
    if (decay := settings.averaging.ema_decay) is not None:
        callbacks.append(EMAWeightAveraging(decay=decay))
    return [*callbacks, PrepareDDP()]  # after the averaging of weights, whose buffers are those that are validated


# After the training.


def test(run: Run) -> tuple[SplitResults, dict[str, Any], dict[str, SplitOutputs]]:
    """Test the best weights, and predict the validation split: results, facts of the run, outputs of both splits."""
    seconds = run.bundle.seconds  # without the test
    results, test_outputs = evaluate_test_split(run.trainer, run.model, run.data)
    val_outputs, milliseconds = predict_split(run.trainer, run.model, run.data, "val")
    facts = {
        "recipe": run.recipe,
        "seed": run.settings.seed_everything,
        **summary_facts(run.trainer, run.model, run.data, run.copies.seen),
        "seconds": round(seconds, 2),
        "milliseconds_per_image": round(milliseconds, 4),
    }
    return results, facts, {"val": val_outputs, "test": test_outputs}


@rank_zero_only
def conclude(
    run: Run,
    results: SplitResults,
    facts: dict[str, Any],
    outputs: dict[str, SplitOutputs],
    companions: Sequence[Companion],
) -> None:
    """Write the results into the run directory, and print them; the last printed line is the run directory."""
    outputs = calibrate(outputs["val"], outputs["test"])
    temperature = outputs["val"].temperature
    write_results(run.directory, results, facts | {"temperature": temperature}, outputs)
    store_temperature(run.directory / BEST_CHECKPOINT, temperature)
    record = read_run(run.directory, DATA_MODULES)
    if not run.settings.trainer.fast_dev_run:
        for companion in companions:
            companion.conclude(record, run.data)
    run.status.end("finished")  # before printing, which fails if standard output is closed
    print_results(results, f"{run.recipe}: test split, best weights", facts["notes"])
    for companion in reversed(companions):  # the diagnosis stands right above the run directory
        for line in companion.lines(record):
            print(line)
    print(shown(run.directory))


@rank_zero_only
def give_up(run: Run, companions: Sequence[Companion], diverged: DivergedError) -> None:
    """Write status and report of a training whose loss is infinite or NaN, and log the next command to try."""
    run.status.end("failed", f"diverged: {diverged}")
    for companion in companions:
        companion.conclude(read_run(run.directory, DATA_MODULES), run.data)
    config, lr = shlex.quote(shown(run.directory / CONFIG)), run.model.optimizer_settings.lr
    command = f"{program_name()} fit --config {config} --model.optimizer.lr {lr / 10:g}"
    log.error("diverged: %s, so the training was stopped; try a tenth of the learning rate: %s", diverged, command)
