"""The verbs ``validate`` and ``test``: evaluate a checkpoint on the data set of its training, or on another one."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ..data import DATA_MODULES
from ..engine.bundles import Checkpoint, data_config, load_classifier, read_checkpoint
from ..engine.checkpoints import find_checkpoint, require_same_facts
from ..engine.command_line import HELP, Command, Form, compile_networks
from ..engine.companions import Companion
from ..engine.recipes import values_of
from ..engine.results import evaluate_test_split, limit_notes, print_results
from ..engine.seen_images import RefuseTrainedImages
from ..engine.splits import Split
from ..engine.summary import strict_json
from ..engine.trainer_options import trainer_settings
from ..errors import UserError, program_name, shown
from ..fit import CLASSES, add_options
from ..models import CLASSIFIERS

DESCRIPTION = "Evaluate a checkpoint on the data set of its training; options and configs can change the data set."
NO_CHECKPOINT: Checkpoint = {
    "bundle": {"model": "MLPClassifier", "config": {"data": {"class_path": "DigitsDataModule"}}}
}
# Sections that only a training uses; a config may contain them.
FIT_ONLY = frozenset({"averaging", "cache_features", "checkpoint_every_minutes", "early_stopping", "feature_views"})
FIT_ONLY |= {"init_from", "monitor", "report", "resume", "run", "seed_everything", "tracking"}
DEVICES = ("trainer.accelerator", "trainer.devices", "trainer.precision")

log = logging.getLogger(__name__)


def evaluate(verb: str, options: Sequence[str], companions: Sequence[Companion] = ()) -> None:
    """Evaluate on the test split (``test``) or print the metrics of the validation split (``validate``)."""
    require_own_options(verb, options)
    paths = values_of(options, "--ckpt", "--ckpt_path")
    if not paths and HELP & set(options):
        parse(verb, None, NO_CHECKPOINT, options, companions)  # prints and exits
    if not paths:
        raise UserError(f"{verb} needs a checkpoint. Give --ckpt with a run directory or a .ckpt file.")
    file = find_checkpoint(Path(paths[-1]), "best")
    checkpoint = read_checkpoint(file)
    command = parse(verb, file, checkpoint, options, companions)
    built = command.build("model")
    data, model = built.data, load_classifier(checkpoint, CLASSIFIERS)
    require_same_facts(model.facts, data.facts)
    if built.compile:
        compile_networks(model)
    images = RefuseTrainedImages(checkpoint, data, is_allowed=built.allow_trained_images)
    trainer = command.build_trainer([images], logger=False, enable_checkpointing=False)
    split: Split = "val" if verb == "validate" else "test"
    with trainer_settings():
        if split == "val":
            rank_zero_only(print)(strict_json(trainer.validate(model, datamodule=data, verbose=False)[0]))
        else:
            results, _ = evaluate_test_split(trainer, model, data)
    # Restrictions of the results: contaminated test images, partly used splits.
    notes = [*([images.seen.sentence] if images.seen else []), *limit_notes(trainer, data, (split,))]
    if split == "test":
        print_results(results, f"{shown(file)}: test split", notes)
    else:
        for note in notes:
            log.warning(note)


def parse(
    verb: str, file: Path | None, checkpoint: Checkpoint, options: Sequence[str], companions: Sequence[Companion]
) -> Command:
    """Parse the options, with the data set of the checkpoint as the default."""
    split = "val" if verb == "validate" else "test"
    form = Form(
        verb=verb,
        description=DESCRIPTION,
        classes=CLASSES,
        add_options=partial(add_evaluation_options, companions=companions),
        trainer_options=(*DEVICES, f"trainer.limit_{split}_batches", "trainer.enable_progress_bar"),
        usage="--ckpt RUN [--OPTION VALUE ...]",
        hidden=FIT_ONLY | {"model"},
        unchosen=frozenset({"data"} if file is None else ()),
    )
    # The parser imports the classes that a config names, so pass only names from the fixed tables.
    config = {"data": data_config(checkpoint, DATA_MODULES), "model": checkpoint["bundle"]["model"]}
    return Command(replace(form, preset=yaml.safe_dump(config)), options)


def add_evaluation_options(parser: LightningArgumentParser, companions: Sequence[Companion]) -> None:
    add_options(parser, companions)
    ckpt_help = "run directory (uses its best checkpoint), folder of runs (uses the newest), last, or a .ckpt file"
    parser.add_argument("--ckpt", "--ckpt_path", type=str, help=ckpt_help)


def require_own_options(verb: str, options: Sequence[str]) -> None:
    """Refuse options of fit that have no effect here; configs may contain them."""
    for option in options:
        name = option.removeprefix("--").split("=")[0]
        if option.startswith("--") and name.split(".")[0] in FIT_ONLY:
            raise UserError(
                f"{verb} has no option '--{name}'; it is an option of fit. All options: {program_name()} {verb} --help."
            )
