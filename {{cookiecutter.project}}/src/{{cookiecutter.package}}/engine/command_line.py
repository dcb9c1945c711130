"""Parses configs and options with LightningCLI, builds what they describe, and configures the console."""

import argparse
import glob
import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import nn

from ..errors import UserError, brief, causes_of
from ..files import explain
from ..values import Seed
from .config_files import require_config
from .option_help import Classes, Form, help_text
from .parse_errors import Explainer
from .processes import switch_off_sync_batchnorm
from .progress import progress_callback
from .recipes import run_name, values_of
from .trainer_options import TrainerOptions, require_callbacks

HELP, ALL = {"-h", "--help", "--help-all"}, "--help-all"
# Lightning's table of modules would list metrics; the number of parameters is logged by fit.
# The data set divides its images over the processes itself: each once, and resumable.
TRAINER_DEFAULTS = {"enable_model_summary": False, "max_epochs": 10, "use_distributed_sampler": False}
LINKED = ("facts", "monitor")  # arguments of a model that the command line sets
COMPILERS = ("g++", "clang++", "c++", "cl")


class Command(LightningCLI):
    """The command line of a verb, parsed from the words after it; ``build`` and ``build_trainer`` create its parts."""

    def __init__(self, form: Form, args: Sequence[str]) -> None:
        self.form = form
        self.args = list(args)
        super().__init__(
            form.classes["model"][0],
            form.classes["data"][0],
            save_config_callback=None,
            trainer_defaults=TRAINER_DEFAULTS,
            parser_kwargs={
                "exit_on_error": False,
                "allow_abbrev": False,
                "default_config_files": [glob.escape(str(file)) for file in form.default_files],
            },
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=[*([f"--config={form.preset}"] if form.preset else []), *self.args],
            run=False,
            auto_configure_optimizers=False,
            # It would store class paths in checkpoints and import them on loading, which is unsafe.
            load_from_checkpoint_support=False,
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--seed_everything", type=Seed, default=0)

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_class_arguments(TrainerOptions, "trainer", fail_untyped=False, instantiate=False)
        parser.set_defaults({f"trainer.{name}": value for name, value in TRAINER_DEFAULTS.items()})
        for section, (base, _) in self.form.classes.items():
            parser.add_subclass_arguments(base, section, fail_untyped=False, required=True)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        self.form.add_options(parser)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        assert isinstance(args, list)
        if asked := HELP & set(args):
            config, chosen = self.parse_for_help([word for word in args if word not in HELP])
            print(help_text(self.form, parser, config, chosen, is_full=ALL in asked))
            raise SystemExit(0)
        groups = {name.split(".")[0] for name, _ in parser.get_defaults().items() if "." in name}
        for file in [*map(str, self.form.default_files), *values_of(self.args, "--config", "-c")]:
            if os.path.exists(file):  # noqa: PTH110, it returns False for text that is too long for a path
                require_config(Path(file), groups, LINKED)
        for word in self.args:
            if re.match(rf"--model\.(init_args\.)?({'|'.join(LINKED)})\b", word):
                raise UserError(f"{word.split('=')[0]} cannot be given: it is taken from the data set or --monitor.")
        try:
            self.config = parser.parse_args(args)
        except argparse.ArgumentError as error:
            raise self.explainer.explain(error) from error
        for section, table in self.form.tables.items():  # a class that could not be loaded from its checkpoint
            path = self.config[section].class_path
            if bare_name(path) not in table:
                raise UserError(
                    f"{section} is {path!r}, which checkpoints cannot load. Add it to the table in the "
                    f"package's {'data' if section == 'data' else 'models'}/__init__.py. Known: {', '.join(table)}."
                )
        require_no_null(self.config, parser.get_defaults(), self.form.tables)

    def instantiate_classes(self) -> None:
        """Nothing: ``fit`` checks the settings first, and builds the parts in its own order."""

    @property
    def explainer(self) -> Explainer:
        names = list(self.parser.get_defaults().keys())
        own = [name for name in names if not name.startswith("__")]  # these are jsonargparse's
        return Explainer(self.form.verb, own, self.form.tables, self.args)

    def parse_for_help(self, args: list[str]) -> tuple[Namespace, set[str]]:
        """The configuration for the given arguments, and which of data set and model they choose."""
        stand_ins = {section: f"--{section}={next(iter(classes))}" for section, classes in self.form.tables.items()}
        for missing in ([], ["data"], ["model"], ["data", "model"]):
            try:
                config = self.parser.parse_args([*(stand_ins[section] for section in missing), *args])
            except argparse.ArgumentError as error:
                problem = error
            else:
                return config, stand_ins.keys() - missing - self.form.unchosen
        raise self.explainer.explain(problem) from problem

    @property
    def recipe(self) -> str:
        """Name of the folder of the runs."""
        names = {section: bare_name(self.config[section].class_path) for section in self.form.tables}
        return self.config.run.name or run_name(self.args, names)

    @property
    def resolved(self) -> dict[str, Any]:
        """All settings as plain types, without computed values; classes by bare name. As a config, it repeats them."""
        config: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config))
        for section in self.form.tables:
            config[section]["class_path"] = bare_name(config[section]["class_path"])
        return config

    def build(self, *without: str) -> Namespace:
        """Instantiate data module, model and settings, without the sections ``without``."""
        switch_off_sync_batchnorm(self.config.trainer)
        for section in without:
            self.config.pop(section)
        try:
            self.built = self.parser.instantiate(self.config)
        except ValueError as error:  # jsonargparse wraps the errors of constructors
            causes = (found for found in causes_of(error) if isinstance(found, UserError | OSError) or explain(found))
            raise next(causes, error) from error
        return self.built

    def build_trainer(self, callbacks: Sequence[Callback], **options: Any) -> Trainer:
        """The trainer, with the progress callback first, then ``callbacks``, then those of the config."""
        settings = vars(self.built.trainer)
        given = settings["callbacks"] or []
        own = given if isinstance(given, list) else [given]
        require_callbacks(own)
        # A progress bar in the config replaces this project's.
        has_bar = any(isinstance(callback, ProgressBar) for callback in own)
        shown = [] if has_bar else [progress_callback(settings["enable_progress_bar"])]
        options["enable_progress_bar"] = any(isinstance(found, ProgressBar) for found in [*shown, *own])
        try:
            trainer = Trainer(**settings | options | {"callbacks": [*shown, *callbacks, *own]})
        except (MisconfigurationException, ValueError, TypeError, ImportError) as error:
            causes = "--trainer.accelerator, --trainer.devices, --trainer.strategy and --trainer.precision"
            raise UserError(
                f"the trainer cannot be set up: {str(error).rstrip('.!')}. Check {causes}; --trainer.accelerator auto "
                "and --trainer.devices auto use what this machine has."
            ) from error
        if re.search("spawn|fork|notebook", str(settings["strategy"])):
            raise UserError(
                f"trainer.strategy is {settings['strategy']!r}, whose processes lose the results when the training "
                "ends. Give ddp, or another strategy that starts the program again."
            )
        if 0 < (trainer.max_epochs or 0) < (trainer.check_val_every_n_epoch or 1) and not settings["fast_dev_run"]:
            raise UserError(
                f"trainer.check_val_every_n_epoch is {trainer.check_val_every_n_epoch}, and trainer.max_epochs "
                f"{trainer.max_epochs}: no epoch would be validated, so none could be chosen. Lower it."
            )
        if trainer.max_epochs == trainer.max_steps == -1:
            raise UserError(
                "trainer.max_epochs is -1, which sets no limit, and schedules need a number of steps. Give "
                "--trainer.max_epochs 20, for example, or --trainer.max_steps."
            )
        for split in ("train", "val", "test", "predict"):
            if getattr(trainer, f"limit_{split}_batches") == 0:
                raise UserError(
                    f"trainer.limit_{split}_batches is 0; it must be a number of batches (1 or more) or a share (above "
                    "0, at most 1.0). For a quick check, use --config configs/trainer/debug.yaml."
                )
        if isinstance(trainer.accelerator, CUDAAccelerator):
            torch.set_float32_matmul_precision("high")  # TensorFloat-32: float32's range, 10 bits of mantissa
        return trainer


def require_no_null(config: Namespace, defaults: Namespace, tables: Classes) -> None:
    """Refuse what jsonargparse takes for an argument of any type: null, and a single value for a group of settings."""
    for name, default in defaults.items():
        if default is not None and config.get(name) is None and name.split(".")[0] not in {*tables, "trainer"}:
            raise UserError(f"{name} is null. Leave it out for its default, or give a value.")
    for section, owners in tables.items():
        arguments = config[section].get("init_args") or argparse.Namespace()
        require_types(arguments, owners[bare_name(config[section].class_path)], section)
    require_types(config.trainer, TrainerOptions, "trainer")


def require_types(arguments: Any, owner: Any, section: str) -> None:
    bases = reversed(owner.__mro__[:-1])  # object has no arguments
    hints = {name: hint for base in bases for name, hint in get_type_hints(base.__init__).items()}
    for name, value in vars(arguments).items():
        hint, full = hints.get(name, Any), f"{section}.{name}"
        if name in LINKED:
            continue
        if is_dataclass(hint) and isinstance(value, Namespace):
            require_types(value, hint, full)
        elif is_dataclass(hint):
            raise UserError(f"{full} is {brief(value)}; it must be a group of settings. All: --{section} CLASS --help.")
        elif value is None and hint is not Any and type(None) not in get_args(hint):
            raise UserError(f"{full} is null. Leave it out for its default, or give a value.")


def link_facts(parser: LightningArgumentParser, facts: Sequence[str]) -> None:
    """Hand the facts of the data set and the monitored metric to the model, so that nobody states them twice."""
    parser.link_arguments("monitor", "model.init_args.monitor")
    for fact in facts:

        def look_up(data: LightningDataModule, name: str = fact) -> Any:
            return getattr(data.facts, name)  # type: ignore[attr-defined]

        parser.link_arguments("data", f"model.init_args.facts.{fact}", look_up, apply_on="instantiate")


def compile_networks(model: nn.Module, backend: str = "inductor") -> None:
    """Compile in place, which keeps the names in the state dict: checkpoints load with and without compilation.

    Refuses to do so without a C++ compiler, as torch would fail only in the first step.
    """
    require_compiler(backend)
    for module in model.children():
        if any(True for _ in module.parameters()):  # not metrics
            module.compile(backend=backend)


def require_compiler(backend: str = "inductor") -> None:
    compiler = os.environ.get("CXX")
    if backend == "inductor" and not any(map(shutil.which, [compiler] if compiler else COMPILERS)):
        raise UserError(
            f"compile is true, but no C++ compiler was found ({compiler or ', '.join(COMPILERS)}). Install one, "
            "set the environment variable CXX, or leave out --compile."
        )


def bare_name(class_path: str) -> str:
    return class_path.rsplit(".", 1)[-1]


# Warnings that do not apply to this project.
IRRELEVANT = (
    r".*does not have many workers.*",  # images are in memory: workers would be slower
    r".*smaller than the logging interval.*",  # metrics are logged once an epoch
    r".*Experiment logs directory.*exists and is not empty.*",  # the run directory, new, with its config
    r".*LeafSpec.*is deprecated.*",  # an issue between Lightning and torch
    r".*The dirpath has changed from.*",  # intended: a resumed training writes into its own directory
    r".*custom batch sampler.*",  # intended: it serves each image once over all processes
    r".*Checkpoint directory .* exists and is not empty.*",  # that of the resumed run
    r".*`srun` command is available.*",  # not needed for one process
    r".*recommended to use `self.log\(.*sync_dist=True.*",  # metrics of torchmetrics are synchronised already
)

# Reports which process died when it terminates the others.
OBSERVER = "lightning.fabric.strategies.launchers.subprocess_script"


class StandardError(logging.StreamHandler[Any]):
    """Writes to the current ``sys.stderr``, which a progress bar replaces to print above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        super().emit(record)


def configure_console() -> None:
    """Log this package's messages without a prefix, on rank zero, and Lightning's from level WARNING."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[StandardError()])
    own_level = logging.INFO if getattr(rank_zero_only, "rank", 0) == 0 else logging.ERROR
    logging.getLogger(__package__.split(".")[0]).setLevel(own_level)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(OBSERVER).setLevel(logging.INFO)
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message)
