"""The verb ``fit``: train a model, test its best weights, and write the results into a run directory."""

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
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from ..data import ImageFacts
from ..deployment.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from ..errors import UserError
from ..evaluation.outputs import SplitOutputs, predict_split
from ..evaluation.record import read_config, read_run
from ..evaluation.results import SplitResults, evaluate_test_split, limit_notes, print_results
from ..evaluation.seen_images import TRAINED_ON, all_digests, require_same_images
from ..evaluation.wandb_mirror import MIRROR_SECONDS, mirror_run
from ..models.initial_weights import load_initial_weights
from ..program import program_name
from ..training.callbacks import build_callbacks
from ..training.checkpoint_bundle import CheckpointBundle
from ..training.divergence import DivergedError, require_finite_losses
from ..training.environment import write_environment
from ..training.feature_cache import CachedFeatures
from ..training.fine_tuning import count
from ..training.gradients import WatchGradients
from ..training.image_checks import CountTestCopies
from ..training.lost_process import REASON, is_lost_process
from ..training.metrics_table import MetricsTable
from ..training.run_directory import RunSettings, create_run_directory, release_run_directory
from ..training.run_status import StatusFile
from ..training.stopping import SaveWhenStopped
from ..training.tracking import finish_wandb, start_wandb, sync_command
from .conclusion import diagnosis_line, facts_of, next_after_divergence, write_record, write_report_or_warn
from .console import shown
from .evaluate import require_same_facts
from .lightning_cli import CLASSES, ClassifierCLI, bare_name, values_of
from .recipes import find_recipes
from .resume import LAST_CHECKPOINT, restarted_run, resume_options
from .resumed_checkpoint import require_same_length, require_same_processes, require_same_settings

SIGNALLED = 128  # shells report a process ended by signal N with exit status 128 + N

log = logging.getLogger(__name__)


class FitCLI(ClassifierCLI):
    """Train a model, test its best weights, and write the results into a new run directory."""

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
        options, self.resumed_directory = resume_options(find_recipes(options))
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
            help="continue a run in its directory: run directory, folder of runs (uses the newest), or last",
        )

    @property
    def resolved_config(self) -> dict[str, Any]:
        config = super().resolved_config
        config.pop("resume", None)  # not part of the run's config
        return config

    def instantiate_classes(self) -> None:
        settings = self.config["fit"]
        self.recipe = settings.run.name or self.named or name_of_classes(settings)
        if self.resumed_directory is None:
            self.go_on_with_job(RunSettings(**vars(settings.run)))
        self.root = Path(settings.run.root)
        self.resumed = self.read_resumed(settings.ckpt_path, settings.trainer.max_epochs)
        self.require_same_run()
        initial = self.read_initial(settings)
        self.earlier = self.earlier_images(initial)
        super().instantiate_classes()
        if initial is not None:
            load_initial_weights(self.model, initial, settings.init_from)
        self.compile_where_asked()

    def go_on_with_job(self, settings: RunSettings) -> None:
        """Resume the run that an earlier start of this launcher job created, if any."""
        self.resumed_directory = restarted_run(settings, self.recipe)
        if self.resumed_directory is not None:
            self.config["fit"].ckpt_path = str(self.resumed_directory / LAST_CHECKPOINT)

    def read_resumed(self, path: str | None, max_epochs: int) -> Checkpoint | None:
        """The checkpoint to resume from, if any."""
        if path is None:
            return None
        file = find_checkpoint(Path(path), "last", "--ckpt_path", self.root)
        self.config["fit"].ckpt_path = str(file)
        checkpoint = read_checkpoint(file, "--ckpt_path")
        require_same_length(checkpoint, max_epochs)
        return checkpoint

    def require_same_run(self) -> None:
        """Refuse to resume a run with changed data, splits or model."""
        if self.resumed_directory is not None:
            require_same_settings(self.resolved_config, read_config(self.resumed_directory))
        elif self.resumed is not None:
            require_same_settings(self.resolved_config, self.resumed["bundle"]["config"])

    def earlier_images(self, initial: Checkpoint | None) -> Tensor | None:
        """Digests of the images that the initial weights were trained on; None for random weights."""
        if self.resumed is not None:
            return self.resumed.get(TRAINED_ON, {}).get("earlier")
        return None if initial is None else all_digests(initial)

    def read_initial(self, settings: Any) -> Checkpoint | None:
        """The checkpoint of the initial weights, if any; pretrained backbone weights are then not loaded."""
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
        if self.resumed:
            require_same_facts(ImageFacts(**self.resumed["hyper_parameters"]["facts"]), self.datamodule.facts)
            self.datamodule.prepare_data()
            require_same_images(self.resumed, self.datamodule)
        config, settings = self.resolved_config, self.config_init["fit"]
        config["run"]["name"] = self.recipe
        self.directory = create_run_directory(settings.run, self.recipe, self.resumed_directory)
        if self.resumed_directory is None:
            save_config(config, self.directory)
        self.status = StatusFile(self.directory)
        write_environment(self.directory)
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
        self.bundle = CheckpointBundle(config, table, self.wandb.version if self.wandb else None, bundle, self.earlier)
        self.copies = CountTestCopies(self.datamodule, self.earlier, is_allowed=settings.allow_trained_images)
        self.stopper = SaveWhenStopped(self.directory / "checkpoints" / "last.ckpt")
        features = CachedFeatures(settings.cache_features, settings.feature_views)
        own += [self.copies, self.bundle, self.stopper, features, self.status]
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
            # DDP has all parameters from the start, and frozen ones have no gradient. The strategy is known only
            # here: `auto` becomes DDP on several devices.
            trainer.strategy._ddp_kwargs["find_unused_parameters"] = True
        return trainer

    def fit(self, ckpt_path: str | None = None, **kwargs: Any) -> None:
        """Train, test and write ``summary.json``; the last printed line is the run directory."""
        log.info("%s: %s parameters", type(self.model).__name__, f"{count(self.model):,}")
        try:
            self.train_and_test(ckpt_path, **kwargs)
        except MisconfigurationException as error:
            self.status.fail(error)
            raise UserError(f"the trainer failed: {error}") from error
        except SIGTERMException as stopped:
            self.status.end("stopped", f"received {self.stopper.signal.name}")
            log.info(
                "stopped and saved a checkpoint. To continue: %s fit --resume %s", program_name(), shown(self.directory)
            )
            self.trainer.strategy.barrier()  # a launcher terminates all processes once the first exits with this status
            raise SystemExit(SIGNALLED + self.stopper.signal) from stopped
        except DivergedError as diverged:
            self.give_up(diverged)
            self.trainer.strategy.barrier()
            raise SystemExit(1) from diverged
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
        require_finite_losses(self.trainer)
        seconds = self.bundle.seconds
        results, test = evaluate_test_split(self.trainer, self.model, self.datamodule)
        val, milliseconds = predict_split(self.trainer, self.model, self.datamodule, "val")
        facts = {
            "recipe": self.recipe,
            "seed": self.config["fit"].seed_everything,
            **facts_of(self.trainer, self.model, self.datamodule),
            "seconds": round(seconds, 2),
            "milliseconds_per_image": round(milliseconds, 4),
            "notes": self.notes(),
        }
        if seen := self.copies.seen:
            facts["num_test_images_trained_on"] = seen.num_trained
            facts["num_test_images_validated_on"] = seen.num_validated
        self.conclude(results, facts, {"val": val, "test": test})

    def notes(self) -> list[str]:
        """Restrictions of the results: contaminated test images, partly used splits."""
        seen = [self.copies.seen.sentence] if self.copies.seen else []
        return [*seen, *limit_notes(self.trainer, self.datamodule, ("train", "val", "test"))]

    @rank_zero_only
    def give_up(self, diverged: DivergedError) -> None:
        """Log what to try next, and write status and report of a diverged training."""
        self.status.end("failed", f"diverged: {diverged}")
        if self.config["fit"].report:
            write_report_or_warn(self.directory, self.datamodule)
        log.error("%s", next_after_divergence(self.directory, self.model, str(diverged)))

    @rank_zero_only
    def conclude(self, results: SplitResults, facts: dict[str, Any], outputs: dict[str, SplitOutputs]) -> None:
        """Write results and report into the run directory, update W&B, and print the results."""
        settings = self.config["fit"]
        write_record(self.directory, results, facts, outputs, self.model.facts.class_names)
        if settings.report and not settings.trainer.fast_dev_run:
            write_report_or_warn(self.directory, self.datamodule)
        if wandb := self.wandb:
            wandb.attempt(lambda: mirror_run(read_run(self.directory), wandb.run, self.datamodule), MIRROR_SECONDS)
        self.status.end("finished")  # before printing, which fails if standard output is closed
        print_results(results, f"{self.recipe}: test split, best weights", facts["notes"])
        if self.wandb and self.wandb.is_alive and (upload := sync_command(self.directory)):
            print(f"W&B was offline. To upload this run: {upload}")
        print(diagnosis_line(self.directory))
        print(shown(self.directory))


def recipe_name(options: list[str]) -> str | None:
    """File name, without extension, of the first ``--config`` that is not an overlay; None if there is none."""
    configs = [Path(value) for value in values_of(options, "--config", "-c")]
    return next((file.stem for file in configs if not is_overlay(file)), None)


def is_overlay(config: Path) -> bool:
    """Whether a config sets neither data set nor model, like those in ``configs/trainer``."""
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False  # the parser reports the error
    return isinstance(content, dict) and not content.keys() & CLASSES.keys()


def name_of_classes(settings: Any) -> str:
    """Name of a run without a recipe: ``digits_cnn`` for ``DigitsDataModule`` and ``CNNClassifier``."""
    names = [bare_name(settings[section].class_path) for section in CLASSES]
    short = [name.removesuffix("DataModule").removesuffix("Classifier") or name for name in names]
    return "_".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name) for name in short).lower()


@rank_zero_only
def save_config(config: dict[str, Any], directory: Path) -> None:
    """Write ``config.yaml``, which repeats the run in a new directory."""
    config = config | {"run": config["run"] | {"directory": None}}
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    (directory / "config.yaml").write_text(text, encoding="utf-8")


def fit(options: Sequence[str]) -> None:
    """Run the verb with its command-line options."""
    with closing_training():
        FitCLI(list(options))


@contextmanager
def closing_training() -> Iterator[None]:
    """Close the W&B run and release the run directory at the end, so that another training can follow."""
    try:
        yield
    except BaseException:
        finish_wandb(exit_code=1)
        raise
    finally:
        finish_wandb()
        release_run_directory()
