"""The verbs ``validate`` and ``test``: a checkpoint on the data it was trained on, or on other data."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ..data import ImageDataModule, ImageFacts
from ..deployment.checkpoint import Checkpoint, data_config, find_checkpoint, load_classifier, read_checkpoint
from ..errors import UserError
from ..evaluation.results import evaluate_test_split, print_results
from ..models import ImageClassifier
from ..program import program_name
from .console import shown
from .lightning_cli import HELP, ClassifierCLI

NO_CHECKPOINT: Checkpoint = {
    "bundle": {"model": "MLPClassifier", "config": {"data": {"class_path": "DigitsDataModule"}}}
}
FIT_ONLY = frozenset(
    {
        "averaging",
        "cache_features",
        "checkpoint_every_minutes",
        "early_stopping",
        "feature_views",
        "init_from",
        "monitor",
        "report",
        "resume",
        "run",
        "seed_everything",
        "tracking",
    }
)
DEVICES = ("trainer.accelerator", "trainer.devices", "trainer.precision")
SKIPPED = {"model", "dataloaders", "datamodule", "ckpt_path", "weights_only", "verbose"}


class EvaluationCLI(ClassifierCLI):
    """Measure a checkpoint on the data set that it was trained on, or as options and configs change it."""

    usage = "--ckpt RUN [--OPTION VALUE ...]"
    hidden = FIT_ONLY | {"model"}

    def __init__(self, verb: str, file: Path | None, checkpoint: Checkpoint, options: list[str]) -> None:
        self.file = file
        self.unchosen = frozenset({"data"} if file is None else ())
        evaluated = "val" if verb == "validate" else "test"
        self.trainer_options = (*DEVICES, f"trainer.limit_{evaluated}_batches", "trainer.enable_progress_bar")
        self.checkpoint = checkpoint
        # The parser imports what a config names: give it names of the fixed tables only.
        config = {"data": data_config(checkpoint), "model": checkpoint["bundle"]["model"]}
        super().__init__([verb, f"--config={yaml.safe_dump(config)}", *options])

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return dict.fromkeys(("validate", "test"), SKIPPED)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument(
            "--ckpt",
            "--ckpt_path",
            type=str,
            help="run directory (its best checkpoint), a folder of runs for its newest, last, or a file",
        )

    def instantiate_classes(self) -> None:
        """Instantiate the data set from the config, and the model from the checkpoint alone."""
        self.settings = self.config[str(self.subcommand)]
        self.settings.pop("model")
        super().instantiate_classes()
        self.model = load_classifier(self.checkpoint)
        require_same_facts(self.model.facts, self.datamodule.facts)
        self.compile_where_asked()

    def instantiate_trainer(self, callbacks: Sequence[Callback] = (), **kwargs: Any) -> Trainer:
        return super().instantiate_trainer(callbacks, logger=False, enable_checkpointing=False, **kwargs)

    def validate(self, model: ImageClassifier, datamodule: ImageDataModule) -> None:
        metrics = self.trainer.validate(model, datamodule=datamodule, verbose=False)[0]
        rank_zero_only(print)(json.dumps(metrics, indent=2))

    def test(self, model: ImageClassifier, datamodule: ImageDataModule) -> None:
        results, _ = evaluate_test_split(self.trainer, model, datamodule)
        print_results(results, f"{shown(Path(self.settings.ckpt) if self.file is None else self.file)}: test split")


def evaluate(verb: str, options: Sequence[str]) -> None:
    """Run one of the verbs with the options that follow it on the command line.

    Raises:
        UserError: no checkpoint is given, it does not fit the data, or an option is wrong.
    """
    finder = argparse.ArgumentParser(add_help=False)
    finder.add_argument("--ckpt", "--ckpt_path")
    path = finder.parse_known_args(options)[0].ckpt
    require_own_options(verb, options)
    if path is None and HELP & set(options):
        EvaluationCLI(verb, None, NO_CHECKPOINT, list(options))  # prints and exits
    if path is None:
        raise UserError(f"{verb} needs a checkpoint: --ckpt with a run directory or a .ckpt file of one.")
    file = find_checkpoint(Path(path), "best")
    EvaluationCLI(verb, file, read_checkpoint(file), list(options))


def require_own_options(verb: str, options: Sequence[str]) -> None:
    """Refuse what would change nothing here; a config may hold it, as one of a training does."""
    for option in options:
        name = option.removeprefix("--").split("=")[0]
        if option.startswith("--") and name.split(".")[0] in FIT_ONLY:
            raise UserError(
                f"{verb} has no option '--{name}': it is one of fit. All options: {program_name()} {verb} --help."
            )


def require_same_facts(trained: ImageFacts, given: ImageFacts) -> None:
    """Refuse to score a model against classes or images other than those it was made for."""
    for fact in ("class_names", "num_channels", "image_size", "fit"):
        expected, found = getattr(trained, fact), getattr(given, fact)
        if expected != found:
            raise UserError(
                f"the checkpoint and the data set differ in {fact}: trained with {expected}, given {found}. "
                "Give the data the model was trained for (--data.root, --data.image_size, --data.fit, "
                "--data.num_channels), or train a model for this data."
            )
