"""The verbs ``validate`` and ``test``: evaluate a checkpoint on the data set of its training, or on another one."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ..data import ImageDataModule, ImageFacts
from ..data.splits import Split
from ..deployment.checkpoint import Checkpoint, data_config, find_checkpoint, load_classifier, read_checkpoint
from ..errors import UserError
from ..evaluation.results import evaluate_test_split, limit_notes, print_results
from ..evaluation.summary import strict_json
from ..models import ImageClassifier
from ..program import program_name
from ..training.image_checks import RefuseTrainedImages
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
log = logging.getLogger(__name__)

SKIPPED = {"model", "dataloaders", "datamodule", "ckpt_path", "weights_only", "verbose"}


class EvaluationCLI(ClassifierCLI):
    """Evaluate a checkpoint on the data set of its training; options and configs can change the data set."""

    usage = "--ckpt RUN [--OPTION VALUE ...]"
    hidden = FIT_ONLY | {"model"}

    def __init__(self, verb: str, file: Path | None, checkpoint: Checkpoint, options: list[str]) -> None:
        self.file = file
        self.unchosen = frozenset({"data"} if file is None else ())
        evaluated = "val" if verb == "validate" else "test"
        self.trainer_options = (*DEVICES, f"trainer.limit_{evaluated}_batches", "trainer.enable_progress_bar")
        self.checkpoint = checkpoint
        # The parser imports the classes that a config names, so pass only names from the fixed tables.
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
            help="run directory (uses its best checkpoint), folder of runs (uses the newest), last, or a .ckpt file",
        )

    def instantiate_classes(self) -> None:
        """Instantiate the data set from the config and the model from the checkpoint."""
        self.settings = self.config[str(self.subcommand)]
        self.settings.pop("model")
        super().instantiate_classes()
        self.model = load_classifier(self.checkpoint)
        require_same_facts(self.model.facts, self.datamodule.facts)
        self.compile_where_asked()

    def instantiate_trainer(self, callbacks: Sequence[Callback] = (), **kwargs: Any) -> Trainer:
        self.images = RefuseTrainedImages(
            self.checkpoint, self.datamodule, is_allowed=self.settings.allow_trained_images
        )
        return super().instantiate_trainer(
            [self.images, *callbacks], logger=False, enable_checkpointing=False, **kwargs
        )

    def validate(self, model: ImageClassifier, datamodule: ImageDataModule) -> None:
        metrics = self.trainer.validate(model, datamodule=datamodule, verbose=False)[0]
        rank_zero_only(print)(strict_json(metrics))
        for note in self.notes("val"):
            log.warning(note)

    def test(self, model: ImageClassifier, datamodule: ImageDataModule) -> None:
        results, _ = evaluate_test_split(self.trainer, model, datamodule)
        file = Path(self.settings.ckpt) if self.file is None else self.file
        print_results(results, f"{shown(file)}: test split", self.notes("test"))

    def notes(self, split: Split) -> list[str]:
        """Restrictions of the results: contaminated test images, partly used splits."""
        seen = [self.images.seen.sentence] if self.images.seen else []
        return [*seen, *limit_notes(self.trainer, self.datamodule, (split,))]


def evaluate(verb: str, options: Sequence[str]) -> None:
    """Run one of the two verbs with its command-line options.

    Raises:
        UserError: no checkpoint is given, it does not match the data, or an option is wrong.
    """
    finder = argparse.ArgumentParser(add_help=False)
    finder.add_argument("--ckpt", "--ckpt_path")
    path = finder.parse_known_args(options)[0].ckpt
    require_own_options(verb, options)
    if path is None and HELP & set(options):
        EvaluationCLI(verb, None, NO_CHECKPOINT, list(options))  # prints and exits
    if path is None:
        raise UserError(f"{verb} needs a checkpoint. Give --ckpt with a run directory or a .ckpt file.")
    file = find_checkpoint(Path(path), "best")
    try:
        EvaluationCLI(verb, file, read_checkpoint(file), list(options))
    except MisconfigurationException as error:
        raise UserError(f"the trainer failed: {error}") from error


def require_own_options(verb: str, options: Sequence[str]) -> None:
    """Refuse options of fit that have no effect here; configs may contain them."""
    for option in options:
        name = option.removeprefix("--").split("=")[0]
        if option.startswith("--") and name.split(".")[0] in FIT_ONLY:
            raise UserError(
                f"{verb} has no option '--{name}'; it is an option of fit. All options: {program_name()} {verb} --help."
            )


def require_same_facts(trained: ImageFacts, given: ImageFacts) -> None:
    """Refuse a data set whose classes or image format differ from those of the training."""
    for fact in ("class_names", "num_channels", "image_size", "fit"):
        expected, found = getattr(trained, fact), getattr(given, fact)
        if expected != found:
            raise UserError(
                f"the checkpoint and the data set differ in {fact}: trained with {expected}, given {found}. "
                "Give data that matches the training (--data.root, --data.image_size, --data.fit, "
                "--data.num_channels), or train a model on this data."
            )
