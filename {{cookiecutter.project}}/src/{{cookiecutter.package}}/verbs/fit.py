"""The verb ``fit``: train, restore the best weights, test them, and write the record of the run."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ..deployment.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from ..evaluation.outputs import SplitOutputs, predict_split
from ..evaluation.record import read_run
from ..evaluation.results import SplitResults, evaluate_test_split, print_results
from ..evaluation.wandb_mirror import MIRROR_SECONDS, mirror_run
from ..models.initial_weights import load_initial_weights
from ..program import program_name
from ..training.callbacks import build_callbacks
from ..training.checkpoint_bundle import CheckpointBundle
from ..training.environment import write_environment
from ..training.feature_cache import CachedFeatures
from ..training.fine_tuning import count
from ..training.gradients import WatchGradients
from ..training.lost_process import REASON, is_lost_process
from ..training.metrics_table import MetricsTable
from ..training.run_directory import RunSettings, create_run_directory, forget_run_directory
from ..training.run_status import StatusFile
from ..training.stopping import SaveWhenStopped
from ..training.tracking import finish_wandb, start_wandb, sync_command
from .conclusion import facts_of, write_record, write_report_or_warn
from .console import shown
from .lightning_cli import CLASSES, ClassifierCLI, bare_name, values_of
from .resume import LAST_CHECKPOINT, restarted_run, resume_options
from .resumed_checkpoint import require_same_length, require_same_processes

SIGNALLED = 128  # a shell's exit status of a process that a signal ended is this and the signal's number

log = logging.getLogger(__name__)


class FitCLI(ClassifierCLI):
    """Train, restore the best weights, test them, and write the record of the run into a directory of its own."""

    trainer_options = (
        "trainer.max_epochs",
        "trainer.accelerator",
        "trainer.devices",
        "trainer.precision",
        "trainer.accumulate_grad_batches",
        "trainer.limit_train_batches",
        "trainer.fast_dev_run",
        "trainer.enable_progress_bar",
    )

    def __init__(self, options: list[str]) -> None:
        options, self.resumed_directory = resume_options(options)
        self.named = recipe_name(options)
        super().__init__(["fit", *options])

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {"fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument(
            "--resume",
            type=str | None,
            help="run to continue in its own directory: a run directory, a folder of runs, or last",
        )

    @property
    def resolved_config(self) -> dict[str, Any]:
        config = super().resolved_config
        config.pop("resume", None)  # how a training goes on, and not what it is
        return config

    def instantiate_classes(self) -> None:
        settings = self.config["fit"]
        self.recipe = settings.run.name or self.named or name_of_classes(settings)
        if self.resumed_directory is None:
            self.go_on_with_job(RunSettings(**vars(settings.run)))
        self.root = Path(settings.run.root)
        self.resumed = self.read_resumed(settings.ckpt_path, settings.trainer.max_epochs)
        initial = self.read_initial(settings)
        super().instantiate_classes()
        if initial is not None:
            load_initial_weights(self.model, initial, settings.init_from)
        self.compile_where_asked()

    def go_on_with_job(self, settings: RunSettings) -> None:
        """Resume the run that this launcher's job has begun, if it has."""
        self.resumed_directory = restarted_run(settings, self.recipe)
        if self.resumed_directory is not None:
            self.config["fit"].ckpt_path = str(self.resumed_directory / LAST_CHECKPOINT)

    def read_resumed(self, path: str | None, max_epochs: int) -> Checkpoint | None:
        """The checkpoint from which the training goes on, if from any."""
        if path is None:
            return None
        file = find_checkpoint(Path(path), "last", "--ckpt_path", self.root)
        self.config["fit"].ckpt_path = str(file)
        checkpoint = read_checkpoint(file, "--ckpt_path")
        require_same_length(checkpoint, max_epochs)
        return checkpoint

    def read_initial(self, settings: Any) -> Checkpoint | None:
        """The checkpoint whose weights the training starts from, if any; a backbone then needs no others."""
        if settings.init_from is None or self.resumed is not None:
            return None
        file = find_checkpoint(Path(settings.init_from), "best", "--init_from", self.root)
        checkpoint = read_checkpoint(file, "--init_from")
        arguments = settings.model.init_args
        if "weights" in arguments:
            arguments.weights = "none"
            arguments.input_size = arguments.input_size or checkpoint["hyper_parameters"].get("input_size")
        return checkpoint

    def instantiate_trainer(self, callbacks: Sequence[Callback] = (), **kwargs: Any) -> Trainer:
        config, settings = self.resolved_config, self.config_init["fit"]
        config["run"]["name"] = self.recipe
        self.directory = create_run_directory(settings.run, self.recipe, self.resumed_directory)
        if self.resumed_directory is None:
            save_config(config, self.directory)
        write_environment(self.directory)
        self.status = StatusFile(self.directory)
        bundle = self.resumed["bundle"] if self.resumed else {}
        table = MetricsTable(self.directory, bundle.get("history", []))
        self.wandb = start_wandb(settings.tracking, self.directory, self.recipe, config, bundle)
        own = build_callbacks(
            settings.monitor,
            settings.early_stopping,
            settings.averaging,
            settings.checkpoint_every_minutes,
            self.directory,
        )
        self.bundle = CheckpointBundle(config, table, self.wandb.version if self.wandb else None, bundle)
        self.stopper = SaveWhenStopped(self.directory / "checkpoints" / "last.ckpt")
        features = CachedFeatures(settings.cache_features, settings.feature_views)
        own += [self.bundle, self.stopper, features, self.status]
        if self.wandb and settings.tracking.watch_gradients:
            own.append(WatchGradients(self.wandb))
        trainer = super().instantiate_trainer(
            default_root_dir=self.directory,
            logger=[table] if self.wandb is None else [table, self.wandb],
            callbacks=[*own, *callbacks],
            **kwargs,
        )
        if self.resumed:
            require_same_processes(self.resumed, trainer.world_size)
        if isinstance(trainer.strategy, DDPStrategy) and self.model.frozen_modules(epoch=0):
            # All parameters are in DDP from the start, and frozen ones have no gradient. The strategy is only known
            # here: `auto` becomes DDP on several devices.
            trainer.strategy._ddp_kwargs["find_unused_parameters"] = True
        return trainer

    def fit(self, ckpt_path: str | None = None, **kwargs: Any) -> None:
        """Train, test and write ``summary.json``; the last line printed is the run directory."""
        log.info("%s: %s parameters", type(self.model).__name__, f"{count(self.model):,}")
        try:
            self.train_and_test(ckpt_path, **kwargs)
        except SIGTERMException as stopped:
            self.status.end("stopped", f"told to, by {self.stopper.signal.name}")
            log.info(
                "stopped, with a checkpoint. To continue: %s fit --resume %s", program_name(), shown(self.directory)
            )
            self.trainer.strategy.barrier()  # a launcher ends all processes when the first one has ended like this
            raise SystemExit(SIGNALLED + self.stopper.signal) from stopped
        except BaseException as error:
            self.status.fail(error)
            if not is_lost_process(error):
                raise
            log.error(
                "process %d of %d: %s. To continue from the last checkpoint: %s fit --resume %s",
                self.trainer.global_rank,
                self.trainer.world_size,
                REASON,
                program_name(),
                shown(self.directory),
            )
            log.error("(%s)", str(error).splitlines()[0])
            raise SystemExit(1) from error

    def train_and_test(self, ckpt_path: str | None, **kwargs: Any) -> None:
        self.trainer.fit(ckpt_path=ckpt_path, weights_only=True, **kwargs)
        seconds = self.bundle.seconds
        results, test = evaluate_test_split(self.trainer, self.model, self.datamodule)
        val, milliseconds = predict_split(self.trainer, self.model, self.datamodule, "val")
        facts = {
            "recipe": self.recipe,
            "seed": self.config["fit"].seed_everything,
            **facts_of(self.trainer, self.model, self.datamodule),
            "seconds": round(seconds, 2),
            "milliseconds_per_image": round(milliseconds, 4),
        }
        self.conclude(results, facts, {"val": val, "test": test})

    @rank_zero_only
    def conclude(self, results: SplitResults, facts: dict[str, Any], outputs: dict[str, SplitOutputs]) -> None:
        """Leave the record and the report in the run directory, tell W&B, and show the results."""
        settings = self.config["fit"]
        write_record(self.directory, results, facts, outputs, self.model.facts.class_names)
        if settings.report and not settings.trainer.fast_dev_run:
            write_report_or_warn(self.directory, self.datamodule)
        if wandb := self.wandb:
            wandb.attempt(lambda: mirror_run(read_run(self.directory), wandb.run, self.datamodule), MIRROR_SECONDS)
        self.status.end("finished")  # before anything is printed: whoever reads it may have left
        print_results(results, f"{self.recipe}: test split, best weights")
        if self.wandb and self.wandb.is_alive and (upload := sync_command(self.directory)):
            print(f"W&B was offline. To upload this run: {upload}")
        print(shown(self.directory))


def recipe_name(options: list[str]) -> str | None:
    """File name, without its ending, of the first ``--config`` that is no overlay; None where there is none."""
    configs = [Path(value) for value in values_of(options, "--config", "-c")]
    return next((file.stem for file in configs if not is_overlay(file)), None)


def is_overlay(config: Path) -> bool:
    """Whether a config says nothing of the data set and the model, such as those in ``configs/trainer``."""
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False  # the parser says what is wrong with it
    return isinstance(content, dict) and not content.keys() & CLASSES.keys()


def name_of_classes(settings: Any) -> str:
    """What a run without a recipe is called: ``digits_cnn`` for ``DigitsDataModule`` and ``CNNClassifier``."""
    names = [bare_name(settings[section].class_path) for section in CLASSES]
    short = [name.removesuffix("DataModule").removesuffix("Classifier") or name for name in names]
    return "_".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name) for name in short).lower()


@rank_zero_only
def save_config(config: dict[str, Any], directory: Path) -> None:
    """Write ``config.yaml``, which repeats the run: in a directory of its own."""
    config = config | {"run": config["run"] | {"directory": None}}
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    (directory / "config.yaml").write_text(text, encoding="utf-8")


def fit(options: Sequence[str]) -> None:
    """Run the verb with the options that follow it on the command line."""
    with closing_training():
        FitCLI(list(options))


@contextmanager
def closing_training() -> Iterator[None]:
    """Close at the end what a training has open in this process, so that another one can follow."""
    try:
        yield
    except BaseException:
        finish_wandb(exit_code=1)
        raise
    finally:
        finish_wandb()
        forget_run_directory()
