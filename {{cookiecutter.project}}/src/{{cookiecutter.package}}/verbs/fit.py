"""The verb ``fit``: train, restore the best weights, test them, and leave a record."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ..deployment.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from ..errors import UserError
from ..evaluation import predictions
from ..evaluation.outputs import SplitOutputs, predict_split, save_outputs
from ..evaluation.predictions import write_predictions
from ..evaluation.record import read_run
from ..evaluation.report.reproduction import program
from ..evaluation.results import SplitResults, evaluate_test_split, print_results
from ..evaluation.summary import write_summary
from ..training.callbacks import build_callbacks
from ..training.environment import write_environment
from ..training.feature_cache import CachedFeatures
from ..training.fine_tuning import count, count_trainable
from ..training.run_directory import create_run_directory, forget_run_directory
from ..training.tracking import build_loggers, finish_wandb, sync_command
from .lightning_cli import ClassifierCLI

LAID_OUT = {"onecycle", "cosine"}  # schedules that depend on the number of steps

log = logging.getLogger(__name__)


class FitCLI(ClassifierCLI):
    """``fit``: the whole way from a config to a tested checkpoint in a run directory."""

    def __init__(self, options: list[str]) -> None:
        self.recipe = recipe_name(options)
        super().__init__(["fit", *options])

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {"fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument("--report", type=bool, default=True, help="Write report.html at the end.")

    def instantiate_classes(self) -> None:
        settings = self.config["fit"]
        if settings.ckpt_path is not None:
            file = find_checkpoint(Path(settings.ckpt_path), "last")
            require_same_length(read_checkpoint(file), settings.trainer.max_epochs)
            settings.ckpt_path = str(file)
        super().instantiate_classes()
        self.compile_where_asked()

    def instantiate_trainer(self, callbacks: Sequence[Callback] = (), **kwargs: Any) -> Trainer:
        config, settings = self.resolved_config, self.config_init["fit"]
        self.recipe = config["run"]["name"] = settings.run.name or self.recipe
        config.pop("report")  # which the other verbs, that a run's config can be given to, do not have
        self.directory = create_run_directory(settings.run, self.recipe)
        save_config(config, self.directory)
        write_environment(self.directory)
        features = CachedFeatures(settings.cache_features, settings.feature_views)
        own = build_callbacks(
            settings.monitor, settings.early_stopping, settings.averaging, features, self.directory, config
        )
        trainer = super().instantiate_trainer(
            default_root_dir=self.directory,
            logger=build_loggers(settings.tracking, self.directory, self.recipe, config),
            callbacks=[*own, *callbacks],
            **kwargs,
        )
        if isinstance(trainer.strategy, DDPStrategy) and self.model.frozen_modules(epoch=0):
            # All parameters are in DDP from the start, and frozen ones have no gradient. The strategy is only known
            # here: `auto` becomes DDP on several devices.
            trainer.strategy._ddp_kwargs["find_unused_parameters"] = True
        return trainer

    def fit(self, ckpt_path: str | None = None, **kwargs: Any) -> None:
        """Train, test and write ``summary.json``; the last line printed is the run directory."""
        log.info("%s: %s parameters", type(self.model).__name__, f"{count(self.model):,}")
        start = time.perf_counter()
        self.trainer.fit(ckpt_path=ckpt_path, weights_only=True, **kwargs)
        seconds = time.perf_counter() - start
        results, test = evaluate_test_split(self.trainer, self.model, self.datamodule)
        val, milliseconds = predict_split(self.trainer, self.model, self.datamodule, "val")
        facts = self.facts_of_run() | {"seconds": round(seconds, 2), "milliseconds_per_image": round(milliseconds, 4)}
        self.conclude(results, facts, {"val": val, "test": test})

    @rank_zero_only
    def conclude(self, results: SplitResults, facts: dict[str, Any], outputs: dict[str, SplitOutputs]) -> None:
        """Write what is known of the run into its directory, and show the results."""
        write_predictions(self.directory / predictions.FILE_NAME, outputs["test"], self.model.facts.class_names)
        save_outputs(self.directory, outputs)
        write_summary(self.directory, results, facts)
        settings = self.config["fit"]
        if settings.report and not settings.trainer.fast_dev_run:
            self.report()
        print_results(results, f"{self.recipe}: test split, best weights")
        upload = sync_command()
        if upload:
            print(f"W&B was offline. To upload this run: {upload}")
        print(os.path.relpath(self.directory))

    def report(self) -> None:
        """Write the page; a training that is over must not fail by it."""
        run = read_run(self.directory)
        try:
            from ..evaluation.report.page import FILE_NAME, write_report  # matplotlib, when all else is done

            file = self.directory / FILE_NAME
            write_report(run, file, self.datamodule)
            log.info("report: %s", os.path.relpath(file))
        except Exception as error:
            again = f"{program(run.environment)} report {os.path.relpath(self.directory)}"
            log.warning("no report (%s: %s). Once that is mended: %s", type(error).__name__, error, again)

    def facts_of_run(self) -> dict[str, Any]:
        """What ``summary.json`` says beside the test results."""
        checkpointing = self.trainer.checkpoint_callback
        best = getattr(checkpointing, "best_model_score", None)
        return {
            "recipe": self.recipe,
            "model": type(self.model).__name__,
            "seed": self.config["fit"].seed_everything,
            "num_epochs": self.trainer.current_epoch,
            "num_parameters": count(self.model),
            "num_trainable_parameters": count_trainable(self.model),
            "monitor": self.model.monitor,
            "best": None if best is None else best.item(),
            "split_hash": self.datamodule.split_hash,
        }


def recipe_name(options: list[str]) -> str:
    """File name of the first ``--config``, without its ending; ``custom`` where there is none."""
    for position, given in enumerate(options):
        option, _, value = given.partition("=")
        if option in {"--config", "-c"}:
            following = options[position + 1] if position + 1 < len(options) else ""
            return Path(value or following).stem or "custom"
    return "custom"


def require_same_length(checkpoint: Checkpoint, max_epochs: int) -> None:
    """Refuse to resume a schedule that was laid out for another number of epochs."""
    trained = checkpoint["bundle"]["config"]
    schedule = checkpoint["hyper_parameters"]["schedule"]["name"]
    if schedule in LAID_OUT and trained["trainer"]["max_epochs"] != max_epochs:
        raise UserError(
            f"trainer.max_epochs is {max_epochs}, and the checkpoint's {schedule} schedule was laid out for "
            f"{trained['trainer']['max_epochs']} epochs. Resume with --trainer.max_epochs "
            f"{trained['trainer']['max_epochs']}."
        )


@rank_zero_only
def save_config(config: dict[str, Any], directory: Path) -> None:
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    (directory / "config.yaml").write_text(text, encoding="utf-8")


def fit(options: Sequence[str]) -> None:
    """Run the verb with the options that follow it on the command line."""
    try:
        FitCLI(list(options))
    except BaseException:
        finish_wandb(exit_code=1)
        raise
    finally:
        finish_wandb()
        forget_run_directory()
