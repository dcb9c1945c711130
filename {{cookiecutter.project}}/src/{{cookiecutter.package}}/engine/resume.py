"""Continues a stopped run exactly as if it had not stopped."""

import argparse
import logging
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from torch import Tensor, nn

from ..errors import UserError, program_name, shown, some
from .batches import TrainingLoader, mixed_seed, training_seed
from .bundles import OTHER, Checkpoint, facts_of, misfits, read_checkpoint, require_resumable
from .checkpoints import find_checkpoint, require_same_facts
from .command_line import Command
from .contracts import Classifier
from .named_classes import Tables, require_known_classes
from .reading import arguments_of
from .recipes import values_of
from .record import find_run, flatten, read_config
from .run_directory import (
    BEST_CHECKPOINT,
    CONFIG,
    INHERITED,
    LAST_CHECKPOINT,
    STATUS,
    RunSettings,
    is_launched,
    launched_directory,
    read_status,
)
from .seen_images import TRAINED_ON, all_digests, require_same_images

log = logging.getLogger(__name__)

STEP = 1  # makes these seeds differ from those of the augmentation


@dataclass
class Origin:
    """What a training continues or starts from; all None for a new training with random or pretrained weights."""

    run: Path | None = None  # directory of the run to resume
    file: Path | None = None  # checkpoint to resume from
    resumed: Checkpoint | None = None  # content of that file
    initial: Checkpoint | None = None  # with the initial weights of a new training

    @property
    def bundle(self) -> dict[str, Any]:
        return self.resumed["bundle"] if self.resumed else {}

    @property
    def earlier(self) -> Tensor | None:
        """Digests of the images that the initial weights were trained on; None for other weights."""
        if self.resumed is not None:
            return self.resumed.get(TRAINED_ON, {}).get("earlier")
        return None if self.initial is None else all_digests(self.initial)

    def require_same_data(self, data: Any) -> None:
        """Refuse to resume on other classes, another image format or other images."""
        if self.resumed is not None:
            require_same_facts(facts_of(self.resumed), data.facts)
            data.prepare_data()
            require_same_images(self.resumed, data)

    def require_same_layers(self, model: nn.Module) -> None:
        """Refuse to resume with weights that are not those of the model."""
        if self.resumed is not None and (wrong := misfits(model.state_dict(), self.resumed["state_dict"])):
            raise UserError(
                f"{str(self.file)!r} cannot be resumed: its weights do not fit the model, they differ in "
                f"{some(wrong)}. Give another checkpoint, or start a new training."
            )


def find_origin(command: Command, run: Path | None) -> Origin:
    """Read the checkpoint that the training continues or starts from, and refuse settings that do not fit it.

    Writes the paths and weights that follow from the checkpoint into the options of ``command``. ``run`` is the
    directory of the run to resume, if ``--resume`` names it.
    """
    settings, origin = command.config, Origin(run)
    root, path = Path(settings.run.root), settings.ckpt_path
    if origin.run is None:
        origin.run = restarted_run(RunSettings(**vars(settings.run)), command.recipe)  # by a launcher, after a failure
        path = path if origin.run is None else str(origin.run / LAST_CHECKPOINT)
    if path is not None:
        origin.file = find_checkpoint(Path(path), "last", "--ckpt_path", root)
        settings.ckpt_path = str(origin.file)
        origin.resumed = read_checkpoint(origin.file, "--ckpt_path")
        require_resumable(origin.resumed, origin.file)
        if origin.run is not None and (best := origin.run / BEST_CHECKPOINT).is_file():
            read_checkpoint(best, "the best checkpoint")  # which the end of the training reads
        require_same_length(origin.resumed, settings.trainer.max_epochs)
    if origin.run is not None:
        require_same_settings(command.resolved, read_config(origin.run))
    if origin.resumed is not None:  # whose config cannot have been changed since
        require_same_settings(command.resolved, origin.bundle["config"])
    if settings.init_from is not None and origin.resumed is None:
        file = find_checkpoint(Path(settings.init_from), "best", "--init_from", root)
        origin.initial = read_checkpoint(file, "--init_from")
        arguments = settings.model.init_args
        if "weights" in arguments:  # the checkpoint has the weights of the backbone too
            arguments.weights = "none"
            arguments.input_size = arguments.input_size or origin.initial["hyper_parameters"].get("input_size")
    return origin


class ExactResume(Callback):
    """Resumes at the batch and the training metrics of the checkpoint, and seeds the generators at each step.

    The random numbers of a step, such as those of dropout, are a function of the training's seed, the epoch, the batch
    and the process. The generators are seeded directly, as ``torch.manual_seed`` takes a tenth of a millisecond.
    """

    def __init__(self) -> None:
        self.is_restoring = False
        self.loader_states: list[dict[str, int]] = []
        self.metric_states: list[dict[str, Any]] = []

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        assert isinstance(pl_module, Classifier)
        state = pl_module.train_metrics.state()
        states = [state] * trainer.world_size
        if trainer.world_size > 1:
            torch.distributed.all_gather_object(states, state)
        checkpoint["train_metrics"] = states

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.is_restoring = True
        self.loader_states = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [])
        self.metric_states = checkpoint["train_metrics"]

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Until the first step is over, such errors come from a state that Lightning or torch cannot continue."""
        kinds = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
        if self.is_restoring and isinstance(exception, kinds):
            problem = f"({type(exception).__name__}: {exception})"
            raise UserError(f"{str(trainer.ckpt_path)!r} cannot be resumed {problem}. {OTHER}") from exception

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        require_same_shapes(trainer)
        if len(self.metric_states) == trainer.world_size:  # another number of processes divides images differently
            pl_module.train_metrics.load_state(self.metric_states[trainer.global_rank])
        self.metric_states = []
        # Lightning does not if it counted the steps before it read the checkpoint: Lightning-AI/pytorch-lightning#20550
        loader = trainer.train_dataloader
        if self.loader_states and isinstance(loader, TrainingLoader):
            if self.loader_states[0]["position"] < trainer.num_training_batches:  # otherwise the next epoch follows
                loader.load_state_dict(self.loader_states[0])
            self.loader_states = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.is_restoring = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        seed = mixed_seed(training_seed(), trainer.current_epoch, batch_idx, trainer.global_rank, STEP)
        torch.default_generator.manual_seed(seed)
        if pl_module.device.type != "cpu":
            torch.get_device_module(pl_module.device).manual_seed(seed)


def require_same_shapes(trainer: Trainer) -> None:
    """Refuse a restored state of an optimizer with other shapes than its parameters, which torch does not check."""
    what = f"{str(trainer.ckpt_path)!r} cannot be resumed:"
    for optimizer in trainer.optimizers:
        names = [set(state) for state in optimizer.state.values()]
        if any(own != names[0] for own in names):
            raise UserError(f"{what} the optimizer's state lacks values. {OTHER}")
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.ndim > 0 and value.shape != parameter.shape:
                    shapes = f"{tuple(value.shape)}, and its parameter {tuple(parameter.shape)}"
                    raise UserError(f"{what} {name} of the optimizer is {shapes}. {OTHER}")


def add_resume_options(parser: LightningArgumentParser) -> None:
    resume_help = "continue a run in its directory: run directory, folder of runs (uses the newest), or last"
    parser.add_argument("--resume", type=str | None, help=resume_help)
    parser.add_argument("--ckpt_path", type=str | None, help="run or checkpoint to continue in a new run directory")


def resume_options(options: Sequence[str], tables: Tables) -> tuple[list[str], Path | None]:
    """Replace ``--resume`` by the run's config and last checkpoint; also returns its directory (None without it).

    The config may name the classes in ``tables`` and Lightning's callbacks; others only if the user's configs do too.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume")
    known, others = parser.parse_known_args(options)
    if known.resume is None:
        return list(options), None
    parser.add_argument("--run.root", dest="root", default=RunSettings.root)
    run = run_to_resume(known.resume, Path(parser.parse_known_args(others)[0].root))
    trust = f"{program_name()} fit --resume {shlex.quote(shown(run))} --config {shlex.quote(shown(run / CONFIG))}"
    remedy = f"If you know what it does, name it in a config of your own, or give this one as your own: {trust}"
    given = [Path(file) for file in values_of(others, "--config", "-c")]
    text = "\n".join(file.read_text("utf-8", "replace") for file in given if file.is_file())
    config, what = read_config(run), repr(str(run / CONFIG))
    require_known_classes(config, tables, what, remedy, text)
    for section, table in {**tables, "trainer": {"Trainer": Trainer}}.items():  # jsonargparse takes null for any type
        build = table.get(config[section].get("class_path", "Trainer"))
        arguments = config[section] if section == "trainer" else config[section].get("init_args", {})
        if build is not None:
            arguments_of(build, arguments, f"{section} in {what}", "Restore the file from a copy.")
    own = [f"--config={run / CONFIG}", *others]
    if (run / LAST_CHECKPOINT).is_file():
        return [*own, f"--ckpt_path={run / LAST_CHECKPOINT}"], run
    log.info("%s has no checkpoint yet: training starts from the beginning", run)
    return own, run


def run_to_resume(resume: str, root: Path) -> Path:
    """The run directory for ``--resume``; in a folder of runs, the most recently written unfinished one."""
    if INHERITED in os.environ:  # a copy of a process that has already found it
        return Path(os.environ[INHERITED])
    run = find_run(Path(resume), "--resume", lambda run: not is_finished(run), "is unfinished", root)
    if is_finished(run):
        raise UserError(
            f"--resume is {resume!r}, which is finished. To start a new run from its weights, give "
            f"--init_from {run}; to train for more epochs, start a new run with a larger --trainer.max_epochs."
        )
    return run


def is_finished(run: Path) -> bool:
    """Whether the run is finished; a run without a status cannot be resumed and counts as finished."""
    return not (run / STATUS).is_file() or read_status(run).state == "finished"


def restarted_run(settings: RunSettings, recipe: str) -> Path | None:
    """The run directory of a launcher's job that is started again; None for a job's first start.

    All processes must decide alike, at different times and while rank zero writes into that directory. So only the
    last checkpoint decides, because it is written after all processes have started training.
    """
    if not is_launched():
        return None
    run = Path(os.environ[INHERITED]) if INHERITED in os.environ else launched_directory(settings, recipe)
    if not (run / LAST_CHECKPOINT).is_file():
        return None
    if is_finished(run):
        raise UserError(
            f"the run of this job, {str(run)!r}, is finished. For a new run, give another --run.name or "
            "--run.directory, or a new job id (torchrun --rdzv-id NAME)."
        )
    log.info("%s has a checkpoint of this job: training continues from it", run)
    return run


# Settings that must not change. The location of files and the speed of reading them may.
FIXED = ("data", "model", "seed_everything", "monitor", "averaging", "cache_features", "feature_views")
FIXED_TRAINER = {"trainer.accumulate_grad_batches", "trainer.limit_train_batches", "trainer.overfit_batches"}
FREE = {"data.root", "data.num_workers", "data.cache", "data.cache_dir", "data.memory_budget_gb"}
FREE |= {"data.cache_gb", "data.retry_minutes", "data.endpoint_url"}  # when streaming


def require_same_settings(config: dict[str, Any], trained: dict[str, Any]) -> None:
    """Refuse to resume with other data, splits, model or steps; the content of ``data.root`` is checked elsewhere."""
    given, before = dict(flatten(config)), dict(flatten(trained))
    for name in given.keys() & before.keys() - FREE:
        if given[name] != before[name] and (name.split(".")[0] in FIXED or name in FIXED_TRAINER):
            raise UserError(
                f"{name} is {given[name]}, but the run has {before[name]}: a resumed run keeps its data, splits "
                "and model. Leave the option out, or start a new run (from the weights of this one with "
                "--init_from)."
            )


def require_same_length(checkpoint: dict[str, Any], max_epochs: int) -> None:
    """Refuse to resume a schedule that was planned for another number of epochs."""
    trained = checkpoint["bundle"]["config"]["trainer"].get("max_epochs")
    schedule = checkpoint["hyper_parameters"].get("schedule", {}).get("name")
    if schedule in {"onecycle", "cosine"} and trained != max_epochs:
        raise UserError(
            f"trainer.max_epochs is {max_epochs}, but the checkpoint's {schedule} schedule was planned for "
            f"{trained} epochs. Resume with --trainer.max_epochs {trained}."
        )


def require_same_processes(checkpoint: dict[str, Any], num_processes: int) -> None:
    """Refuse another number of processes, which would change the steps of the epoch and of the schedule."""
    trained = checkpoint["bundle"].get("num_processes", num_processes)
    if trained != num_processes:
        raise UserError(
            f"the checkpoint was written by a training on {trained} processes, but this one has {num_processes} "
            "(trainer.devices x trainer.num_nodes). Use the same number, or start a new training from its weights with "
            "--init_from."
        )
