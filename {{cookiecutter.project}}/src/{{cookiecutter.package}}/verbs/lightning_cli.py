"""LightningCLI with the sections that every verb has in common: data, model, trainer, monitor, run, tracking."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from ..data import DATA_MODULES, ImageDataModule
from ..data.facts import ImageFacts
from ..errors import UserError
from ..models import CLASSIFIERS, ImageClassifier
from ..models.monitor import Monitor
from ..training.callbacks import AveragingSettings, EarlyStoppingSettings
from ..training.feature_cache import CacheFeatures
from ..training.processes import switch_off_sync_batchnorm
from ..training.run_directory import RunSettings
from ..training.tracking import TrackingSettings

# Recipes name data modules and classifiers without a path: jsonargparse finds bare names among imported subclasses.
from .cli_errors import Choices, explain, mistake_within

CLASSES: dict[str, Mapping[str, type]] = {"data": DATA_MODULES, "model": CLASSIFIERS}
# The project's own W&B settings: read where they exist, before any --config.
DEFAULT_CONFIGS = ["configs/tracking/wandb.yaml"]
COMPILERS = ("g++", "clang++", "c++", "cl")
REFRESH_RATE = 10  # of the progress bar, a second; more costs time, and less is waited for at the end of each stage


class ClassifierCLI(LightningCLI):
    """Parses configs and options; subclasses say what their verbs do with them.

    Raises:
        UserError: an option, class or value is wrong.
    """

    def __init__(self, args: list[str]) -> None:
        verbs = {verb: {"exit_on_error": False, "default_config_files": DEFAULT_CONFIGS} for verb in self.subcommands()}
        super().__init__(
            ImageClassifier,
            ImageDataModule,
            save_config_callback=None,
            # The table of modules lists metrics rather than layers, and its size is printed with the result.
            # The data set shares its images out to processes itself: each once, and resumable.
            trainer_defaults={"enable_model_summary": False, "max_epochs": 10, "use_distributed_sampler": False},
            seed_everything_default=0,
            parser_kwargs={"exit_on_error": False, **verbs},
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=args,
            auto_configure_optimizers=False,
            # Would store class paths as hyperparameters, for import at loading: a checkpoint must not decide that.
            load_from_checkpoint_support=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--monitor", type=Monitor, default="val/loss", help="Metric that says which epoch is best.")
        parser.add_argument("--compile", type=bool, default=False, help="Compile the network: torch.compile, in place.")
        parser.add_argument(
            "--cache_features",
            type=CacheFeatures,
            default="auto",
            help="Whether a frozen backbone computes each image's features once, instead of in every epoch.",
        )
        parser.add_argument("--feature_views", type=int, default=2, help="Augmented views of a cached training image.")
        parser.add_argument("--init_from", type=str | None, help="Run or checkpoint whose weights to start from.")
        parser.add_argument(
            "--checkpoint_every_minutes", type=float | None, help="Save within an epoch as well; None: after each one."
        )
        parser.add_argument(
            "--allow_trained_images",
            action="store_true",
            help="Evaluate on images that the model was trained on too, and mark the result.",
        )
        parser.add_argument("--report", type=bool, default=True, help="Write report.html at the end of fit.")
        parser.add_class_arguments(EarlyStoppingSettings, "early_stopping")
        parser.add_class_arguments(AveragingSettings, "averaging")
        parser.add_class_arguments(RunSettings, "run")
        parser.add_class_arguments(TrackingSettings, "tracking")
        parser.link_arguments("monitor", "model.init_args.monitor")
        for fact in ImageFacts.__dataclass_fields__:
            parser.link_arguments(
                "data", f"model.init_args.facts.{fact}", attrgetter(f"facts.{fact}"), apply_on="instantiate"
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        try:
            self.config = parser.parse_args(args)  # type: ignore[arg-type]
        except argparse.ArgumentError as error:
            raise explain(str(error), self.choices()) from error

        self.require_known_classes()

    def choices(self) -> Choices:
        options = {name for verb in self._subcommand_parsers.values() for name in verb.get_defaults().keys()}  # noqa: SIM118
        return Choices(options, CLASSES)

    def require_known_classes(self) -> None:
        """Refuse, before it is trained, what could not be loaded from its checkpoint again."""
        for section, classes in CLASSES.items():
            path = self.config[self.config.subcommand][section].class_path
            if bare_name(path) not in classes:
                raise UserError(
                    f"{section} is {path!r}, a class that checkpoints do not know. Add it to the table in the "
                    f"package's {'data' if section == 'data' else 'models'}/__init__.py. It has: {', '.join(classes)}."
                )

    def _parse_ckpt_path(self) -> None:
        """Leave the config as it is: the base class would merge a checkpoint's hyperparameters into it."""

    def before_instantiate_classes(self) -> None:
        switch_off_sync_batchnorm(self.config[str(self.subcommand)].trainer)

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except ValueError as error:
            raise mistake_within(error) or error from error

    def compile_where_asked(self) -> None:
        if self.config_init[str(self.subcommand)].compile:
            require_compiler()
            self.model.compile_networks()

    def instantiate_trainer(self, callbacks: Sequence[Callback] = (), **kwargs: Any) -> Trainer:
        """The trainer, with ``callbacks`` before those of the config, and a progress bar unless it is switched off."""
        config = self.config_init[str(self.subcommand)].trainer
        own = config.callbacks if isinstance(config.callbacks, list) else [config.callbacks] if config.callbacks else []
        bar = [] if config.enable_progress_bar is False else [RichProgressBar(REFRESH_RATE)]
        try:
            trainer = super().instantiate_trainer(callbacks=[*callbacks, *bar, *own], **kwargs)
        except (MisconfigurationException, ValueError, TypeError) as error:
            raise UserError(f"the trainer cannot be set up: {error}") from error
        require_some_batches(trainer)
        if isinstance(trainer.accelerator, CUDAAccelerator):
            torch.set_float32_matmul_precision("high")  # TensorFloat-32: float32's range, 10 bits of mantissa
        return trainer

    @property
    def resolved_config(self) -> dict[str, Any]:
        """The whole config of the verb as plain types, without what is computed from it; classes by bare name."""
        parser = self._parser(self.subcommand)
        config = yaml.safe_load(parser.dump(self.config[str(self.subcommand)]))
        for section in CLASSES:
            config[section]["class_path"] = bare_name(config[section]["class_path"])
        return config


def require_some_batches(trainer: Trainer) -> None:
    """Refuse limits that leave no batch: without validation there is no best epoch, without a test no result."""
    for split in ("train", "val", "test", "predict"):
        if getattr(trainer, f"limit_{split}_batches") == 0:
            raise UserError(
                f"trainer.limit_{split}_batches is 0; it must be a number of batches, 1 or more, or a share above 0 "
                "and up to 1.0. For a quick run of everything, use --config configs/trainer/debug.yaml."
            )


def require_compiler() -> None:
    """Refuse what torch would refuse in the middle of the first step."""
    compiler = os.environ.get("CXX")
    if not any(map(shutil.which, [compiler] if compiler else COMPILERS)):
        raise UserError(
            f"compile is true, and there is no C++ compiler here ({compiler or ', '.join(COMPILERS)}). Install one, "
            "name it in the environment variable CXX, or leave out --compile."
        )


def bare_name(class_path: str) -> str:
    return class_path.rsplit(".", 1)[-1]
