"""LightningCLI with the sections that all its verbs share: data, model, trainer, monitor, run, tracking."""

from __future__ import annotations

import argparse
import glob
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from ..data import DATA_MODULES, ImageDataModule
from ..data.facts import ImageFacts
from ..errors import UserError
from ..models import CLASSIFIERS, ImageClassifier
from ..models.monitor import Monitor
from ..program import program_name
from ..training.callbacks import AveragingSettings, EarlyStoppingSettings
from ..training.feature_cache import CacheFeatures
from ..training.processes import switch_off_sync_batchnorm
from ..training.progress import progress_callback
from ..training.run_directory import RunSettings
from ..training.tracking import TrackingSettings

# Recipes name classes without a module path: jsonargparse finds bare names among imported subclasses.
from . import option_help
from .cli_errors import Choices, explain, mistake_within
from .option_help import Option

CLASSES: dict[str, Mapping[str, type]] = {"data": DATA_MODULES, "model": CLASSIFIERS}
# The project's W&B settings, read before any --config.
TRACKING = Path("configs", "tracking", "wandb.yaml")
HELP, ALL = {"-h", "--help", "--help-all"}, "--help-all"
CONFIG_OPTION, PRINT_OPTION = (Option(name, "") for name in ("config", "print_config"))
COMPILERS = ("g++", "clang++", "c++", "cl")


class ClassifierCLI(LightningCLI):
    """Parses configs and options; subclasses implement the verbs.

    Attributes:
        usage: usage text after the verb.
        trainer_options: Lightning's options that ``--help`` explains; ``--help-all`` explains all.
        hidden: groups of options that help does not show, because the verb does not use them.
        unchosen: the sections (data, model) for which the arguments choose no class.

    Raises:
        UserError: an option, class or value is wrong.
    """

    usage = "[--config FILE ...] [--OPTION VALUE ...]"
    trainer_options: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    unchosen: frozenset[str] = frozenset()

    def __init__(self, args: list[str]) -> None:
        self.verb = args[0]
        defaults = [glob.escape(str(file)) for file in [tracking_file(args)] if file is not None]
        verbs = {
            verb: {"exit_on_error": False, "allow_abbrev": False, "default_config_files": defaults}
            for verb in self.subcommands()
        }
        super().__init__(
            ImageClassifier,
            ImageDataModule,
            save_config_callback=None,
            # Lightning's table of modules would list metrics; the number of parameters is logged by fit.
            # The data set divides its images over the processes itself: each once, and resumable.
            trainer_defaults={"enable_model_summary": False, "max_epochs": 10, "use_distributed_sampler": False},
            seed_everything_default=0,
            parser_kwargs={"exit_on_error": False, "allow_abbrev": False, **verbs},
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=args,
            auto_configure_optimizers=False,
            # It would store class paths in checkpoints and import them on loading, which is unsafe.
            load_from_checkpoint_support=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--monitor", type=Monitor, default="val/loss", help="metric that decides which epoch is best"
        )
        parser.add_argument("--compile", type=bool, default=False, help="compile the network with torch.compile")
        parser.add_argument(
            "--cache_features",
            type=CacheFeatures,
            default="auto",
            help="compute the features of a frozen backbone once instead of in every epoch",
        )
        parser.add_argument(
            "--feature_views", type=int, default=2, help="cached augmented versions of each training image"
        )
        parser.add_argument(
            "--init_from", type=str | None, help="run or checkpoint with the initial weights of the training"
        )
        parser.add_argument(
            "--checkpoint_every_minutes",
            type=float | None,
            help="also save a checkpoint every N minutes within an epoch",
        )
        parser.add_argument(
            "--allow_trained_images",
            action="store_true",
            help="evaluate images that the model was trained on, and mark the result",
        )
        parser.add_argument("--report", type=bool, default=True, help="write report.html after the test")
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
        assert isinstance(args, list)
        if asked := HELP & set(args):
            print(self.help(parser, [word for word in args if word not in HELP], is_full=ALL in asked))
            raise SystemExit(0)
        try:
            self.config = parser.parse_args(args)
        except argparse.ArgumentError as error:
            raise explain(str(error), self.choices()) from error

        self.require_known_classes()

    def help(self, parser: LightningArgumentParser, args: list[str], *, is_full: bool) -> str:
        """Help on the options of data set, model and verb and, if ``is_full``, on all of Lightning's trainer."""
        config, chosen = self.parse_for_help(parser, args)
        columns = option_help.width()
        lines = [f"usage: {program_name()} {self.verb} {self.usage}", "", self.__doc__ or "", option_help.VALUES]
        own = [
            replace(option, value=config.get(option.name, option.value))
            for option in option_help.options_of(self._subcommand_parsers[self.verb])
            if option.name.split(".")[0] not in self.hidden and option.name not in CLASSES
        ]
        of_trainer = {option.name: option for option in own if option.name.startswith("trainer.")}
        trainer = of_trainer if is_full else {name: of_trainer[name] for name in self.trainer_options}
        general = [option for option in own if "." not in option.name and option.name != CONFIG_OPTION.name]
        grouped = [option for option in own if "." in option.name and option.name not in of_trainer]
        for section, classes in CLASSES.items():
            if section in self.hidden:
                continue
            name = bare_name(config[section].class_path) if section in chosen else None
            options = (
                option_help.section_options(section, classes[name], config)
                if name is not None and name in classes
                else option_help.shared_options(section, classes)
            )
            title = option_help.title_of(section, name, classes)
            lines += option_help.render(title, options, columns, is_full=is_full)
            if name is None:
                lines += ["", f"Further options by class; explained by --{section} NAME --help:"]
                lines += option_help.particular_options(section, classes, columns)
        lines += option_help.render("Trainer", trainer.values(), columns, is_full=is_full)
        lines += option_help.render("Run", [CONFIG_OPTION, *general, PRINT_OPTION, *grouped], columns, is_full=is_full)
        if not is_full:
            lines += ["", f"All options: {program_name()} {self.verb} --help-all"]
        return "\n".join(lines)

    def parse_for_help(self, parser: LightningArgumentParser, args: list[str]) -> tuple[Namespace, set[str]]:
        """The configuration for the given arguments, and which of data set and model they choose."""
        stand_ins = {section: f"--{section}={next(iter(classes))}" for section, classes in CLASSES.items()}
        for missing in ([], ["data"], ["model"], ["data", "model"]):
            given = [args[0], *(stand_ins[section] for section in missing), *args[1:]]
            try:
                config = parser.parse_args(given)[self.verb]
            except argparse.ArgumentError as error:
                problem = error
            else:
                return config, CLASSES.keys() - missing - self.unchosen
        raise explain(str(problem), self.choices()) from problem

    def choices(self) -> Choices:
        options = {name for verb in self._subcommand_parsers.values() for name in verb.get_defaults().keys()}  # noqa: SIM118
        return Choices(self.verb, options, CLASSES)

    def require_known_classes(self) -> None:
        """Refuse, before training, a class that could not be loaded from its checkpoint."""
        for section, classes in CLASSES.items():
            path = self.config[self.config.subcommand][section].class_path
            if bare_name(path) not in classes:
                raise UserError(
                    f"{section} is {path!r}, which checkpoints cannot load. Add it to the table in the "
                    f"package's {'data' if section == 'data' else 'models'}/__init__.py. Known: {', '.join(classes)}."
                )

    def _parse_ckpt_path(self) -> None:
        """Leave the config unchanged; the base class would merge a checkpoint's hyperparameters into it."""

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
        """The trainer, with the progress callback first, then ``callbacks``, then those of the config."""
        config = self.config_init[str(self.subcommand)].trainer
        own = config.callbacks if isinstance(config.callbacks, list) else [config.callbacks] if config.callbacks else []
        # A progress bar in the config replaces this project's.
        has_bar = any(isinstance(callback, ProgressBar) for callback in own)
        shown = [] if has_bar else [progress_callback(config.enable_progress_bar)]
        kwargs["enable_progress_bar"] = any(isinstance(found, ProgressBar) for found in [*shown, *own])
        try:
            trainer = super().instantiate_trainer(callbacks=[*shown, *callbacks, *own], **kwargs)
        except (MisconfigurationException, ValueError, TypeError) as error:
            raise UserError(f"the trainer cannot be set up: {error}") from error
        require_some_batches(trainer)
        if isinstance(trainer.accelerator, CUDAAccelerator):
            torch.set_float32_matmul_precision("high")  # TensorFloat-32: float32's range, 10 bits of mantissa
        return trainer

    @property
    def resolved_config(self) -> dict[str, Any]:
        """The whole config of the verb as plain types, without computed values; classes by bare name."""
        parser = self._parser(self.subcommand)
        config = yaml.safe_load(parser.dump(self.config[str(self.subcommand)]))
        for section in CLASSES:
            config[section]["class_path"] = bare_name(config[section]["class_path"])
        return config


def require_some_batches(trainer: Trainer) -> None:
    """Refuse limits that leave no batch: validation selects the best epoch, and the test gives the result."""
    for split in ("train", "val", "test", "predict"):
        if getattr(trainer, f"limit_{split}_batches") == 0:
            raise UserError(
                f"trainer.limit_{split}_batches is 0; it must be a number of batches (1 or more) or a share (above 0, "
                "at most 1.0). For a quick check, use --config configs/trainer/debug.yaml."
            )


def tracking_file(options: Sequence[str]) -> Path | None:
    """File with the project's W&B settings, from the project of the working directory, a config or this package.

    The file is searched in the parent folders, so that switching W&B off in a project applies to trainings started in
    any of its subfolders.
    """
    configs = [Path(value).absolute().parent for value in values_of(options, "--config", "-c")]
    for start in [Path.cwd(), *configs, Path(__file__).resolve().parent]:
        for folder in [start, *start.parents]:
            if (folder / TRACKING).is_file():
                return folder / TRACKING
    return None


def values_of(options: Sequence[str], *names: str) -> list[str]:
    """Values of an option on a command line, in order."""
    pairs = [option.partition("=") for option in options]
    return [
        value if equals else options[position + 1]
        for position, (name, equals, value) in enumerate(pairs)
        if name in names and (equals or position + 1 < len(options))
    ]


def require_compiler() -> None:
    """Refuse ``compile`` without a C++ compiler; torch would fail only in the first step."""
    compiler = os.environ.get("CXX")
    if not any(map(shutil.which, [compiler] if compiler else COMPILERS)):
        raise UserError(
            f"compile is true, but no C++ compiler was found ({compiler or ', '.join(COMPILERS)}). Install one, "
            "set the environment variable CXX, or leave out --compile."
        )


def bare_name(class_path: str) -> str:
    return class_path.rsplit(".", 1)[-1]
