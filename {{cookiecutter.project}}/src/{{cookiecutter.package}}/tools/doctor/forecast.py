"""Forecasts time and memory of a training from a few of its steps, which run in a temporary folder."""

import itertools
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ...data.base import EVALUATION_BATCHES
from ...engine.companions import closing
from ...engine.contracts import FeatureExtractor
from ...engine.findings import Finding
from ...engine.resume import Origin
from ...engine.run_directory import LAST_CHECKPOINT
from ...engine.splits import SPLITS
from ...engine.stopping import DivergedError, require_finite_losses
from ...engine.trainer_options import trainer_settings
from ...files import megabytes
from ...fit import start
from ..pages.rendering import duration
from .data import DataFound
from .doctor import Report
from .machine import free_disk
from .settings import Trial
from .steps import SampledData, examine_memory, examine_rate, sample, seconds_of_step, working_rate

SECONDS = 2.0  # of training steps in one epoch of a trial
MAX_STEPS, MIN_STEPS = 64, 2
SLOW = 0.5  # seconds of a step, from which on one epoch is enough: in a fast one, the first steps take longer
END_SECONDS = 1.5  # to write results and report, without the test itself


@dataclass(frozen=True)
class Forecast:
    """Seconds of a training by its parts; ``seconds`` is from the command to its last line."""

    seconds: float
    training: float  # of all epochs
    epoch: float  # of a mean epoch
    start: float  # imports, options, reading of data
    decoding: float
    features: float  # of a frozen backbone
    end: float  # test and results
    num_steps: int  # of an epoch
    step_milliseconds: float
    checkpoint_bytes: int

    @property
    def sentence(self) -> str:
        parts = ("start", "decoding", "features", "training", "end")
        listed = ", ".join(f"{part} {duration(getattr(self, part))}" for part in parts if getattr(self, part) >= 0.05)
        epoch = f"an epoch takes {duration(self.epoch)} ({self.num_steps:,} steps of {self.step_milliseconds:.3g} ms)"
        return f"{epoch}, the whole run {duration(self.seconds)} ({listed})"


def forecast(report: Report, trial: Trial, found: DataFound, start_up: float) -> Forecast | None:
    """Try a few steps of each stage of the training; None if that fails."""
    probe, _ = sample(trial, found, 16, 8)
    report.add(examine_limits(trial, found))
    report.add(examine_memory(trial, found, probe))
    if report.has_error:
        return None
    step = seconds_of_step(trial, probe)
    size, num_epochs = trial.data.batch_size, 1 if step > SLOW else 2
    num_steps = min(MAX_STEPS, max(MIN_STEPS, round(SECONDS / step)), steps_of_epoch(trial, found))
    num_val = min(EVALUATION_BATCHES * size, max(8, round(SECONDS / step * 3 * size)))  # a third of the work of a step
    data, rate = sample(trial, found, num_steps * size, num_val)
    report.add(examine_steps(trial, found))
    measured: list[tuple[Stage, Stopwatch]] = []
    for stage in stages(trial, found):
        watch = try_stage(report, trial, data, stage, num_epochs, step)
        if watch is None:
            return None
        measured.append((stage, watch))
    num_batches = steps_of_epoch(trial, found) * sum(stage.num_epochs for stage, _ in measured)
    report.add(examine_rate(trial, data, step, num_batches / trial.trainer.accumulate_grad_batches))
    report.add(examine_checkpoints(trial, measured[-1][1].checkpoint_bytes))
    return add_up(trial, found, data, measured, rate, start_up)


def steps_of_epoch(trial: Trial, found: DataFound) -> int:
    """Batches of an epoch of the user's training, for each process."""
    share, size = len(found.splits["train"]) // trial.trainer.world_size, trial.data.batch_size
    number, limit = max(1, share // size), trial.trainer.limit_train_batches
    return number if limit is None else min(number, limit) if isinstance(limit, int) else max(1, int(number * limit))


# A trial of each stage.


@dataclass(frozen=True)
class Stage:
    """Epochs in which the same parts of the model are frozen."""

    first: int
    num_epochs: int


def stages(trial: Trial, found: DataFound) -> list[Stage]:
    """The stages of the user's training."""
    last, max_steps = max(trial.trainer.max_epochs or 1, 1), trial.trainer.max_steps
    if max_steps > 0:
        last = min(last, math.ceil(max_steps * trial.trainer.accumulate_grad_batches / steps_of_epoch(trial, found)))
    frozen = [tuple(map(id, trial.model.frozen_modules(epoch))) for epoch in range(min(last, 10_000))]
    starts = [0, *(epoch for epoch in range(1, len(frozen)) if frozen[epoch] != frozen[epoch - 1]), last]
    return [Stage(first, end - first) for first, end in itertools.pairwise(starts)]


class Stopwatch(Callback):
    """Ends a training after a few epochs, and measures its parts in seconds."""

    def __init__(self, num_epochs: int) -> None:
        self.num_epochs = num_epochs
        self.fit_start = self.train_start = self.last = self.epoch_start = self.validation_start = 0.0
        self.steps: list[list[float]] = []  # of each epoch
        self.validations: list[float] = []
        self.epochs: list[float] = []
        self.checkpoint_bytes = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.fit_start = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.train_start = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.end_epoch()
        self.epoch_start = self.last = time.monotonic()
        self.steps.append([])
        self.validations.append(0.0)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        self.steps[-1].append(now - self.last)
        self.last = now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validation_start = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validations[-1] += time.monotonic() - self.validation_start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.num_epochs

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.end_epoch()

    def end_epoch(self) -> None:
        if self.steps:
            self.epochs.append(time.monotonic() - self.epoch_start)

    @property
    def step(self) -> float:
        """Of a typical step."""
        return statistics.median(self.steps[-1][1:] or self.steps[-1])

    @property
    def overhead(self) -> float:
        """Of an epoch, besides steps and validation."""
        return max(0.0, self.epochs[-1] - self.validations[-1] - self.step * len(self.steps[-1]))


def try_stage(
    report: Report, trial: Trial, data: SampledData, stage: Stage, num_epochs: int, step: float
) -> Stopwatch | None:
    """Train one or two epochs of a stage as ``fit`` does; None, with a finding, if that fails."""
    command, model, watch = trial.parts, trial.model, Stopwatch(num_epochs)
    frozen = type(model).frozen_modules
    model.frozen_modules = lambda _: frozen(model, stage.first)  # type: ignore[method-assign, assignment]
    if stage.first > 0:
        command.built.cache_features = "off"
    one: dict[str, Any] = {"devices": 1, "num_nodes": 1, "strategy": "auto", "enable_progress_bar": False}
    whole: dict[str, Any] = {"min_epochs": None, "max_time": None, "num_sanity_val_steps": 0}
    whole |= {"limit_train_batches": 1.0, "limit_val_batches": 1.0, "fast_dev_run": False, "overfit_batches": 0.0}
    vars(command.built.trainer).update(one | whole)
    try:
        with closing([]), trainer_settings():
            run = start(command, Origin(), data, model, [], [watch])
            run.trainer.fit(model, datamodule=data)
            require_finite_losses(run.trainer)
            file = run.directory / LAST_CHECKPOINT
            watch.checkpoint_bytes = file.stat().st_size if file.is_file() else 0
        return watch
    except SIGTERMException as error:  # which Ctrl-C becomes while a trial runs
        raise KeyboardInterrupt from error
    except DivergedError as error:
        lr = model.optimizer_settings.lr
        remedy = f"--model.optimizer.lr {working_rate(trial, data, lr / 10, step):g}"
        what = f"diverged in a trial: {error}, with a learning rate of {lr:g}"
        report.add([Finding("error", "learning rate", what, "fit stops such a training", remedy)])
        return None
    finally:
        del model.frozen_modules


def examine_limits(trial: Trial, found: DataFound) -> Iterator[Finding]:
    """Limits of the batches of an epoch that leave none, or a part."""
    size, processes = trial.data.batch_size, trial.trainer.world_size
    for split in SPLITS:
        name, limit = f"trainer.limit_{split}_batches", getattr(trial.trainer, f"limit_{split}_batches")
        share = len(found.splits[split]) / processes
        number = max(1, int(share / size)) if split == "train" else math.ceil(share / (EVALUATION_BATCHES * size))
        used = int(number * limit) if isinstance(limit, float) else min(number, limit)
        if used < 1:
            what = f"{name} is {limit:g}, and an epoch has {number:,}: less than one batch is left"
            yield Finding("error", "batches", what, "fit ends with an error", f"leave out --{name}, or --{name} 1")
        elif used < number and split == "train":
            what = f"{name} is {limit:g}: an epoch uses {used:,} of its {number:,} batches"
            yield Finding("note", "batches", what, "the training sees fewer images", f"leave out --{name}")


def examine_steps(trial: Trial, found: DataFound) -> Iterator[Finding]:
    """Batches that are too large for the data, or leave many images out."""
    share, size = len(found.splits["train"]) // trial.trainer.world_size, trial.data.batch_size
    what = f"data.batch_size is {size}, and there are {share} training images for each process"
    if share < size:
        why = "an epoch has one step, so that the weights change only once in it"
        yield Finding("warning", "batch size", what, why, f"--data.batch_size {max(2, share // 8)}")
    elif share // size < 4:
        why = f"each epoch leaves out {share % size} images, and the weights change {share // size} times in it"
        best = max(2, 2 ** int(math.log2(share // 8 or 2)))
        yield Finding("warning", "batch size", what, why, f"--data.batch_size {best}")


def examine_checkpoints(trial: Trial, num_bytes: int) -> Iterator[Finding]:
    """Whether the disk has space for the best and the last checkpoint, and for one that is being written."""
    root = Path(trial.command.config.run.directory or trial.command.config.run.root)
    free, needed = free_disk(root), 3 * num_bytes
    what = f"a run needs {megabytes(needed)} for checkpoints, and {megabytes(free)} are free at {str(root)!r}"
    if needed > free:
        why = "the training ends when it cannot write a checkpoint"
        yield Finding("error", "disk", what, why, "free disk space, or give --run.root on another disk")
    else:
        yield Finding("ok", "disk", what)


def add_up(
    trial: Trial,
    found: DataFound,
    data: SampledData,
    measured: list[tuple[Stage, Stopwatch]],
    decode_seconds: float,
    start_up: float,
) -> Forecast:
    """The time of the whole training, from that of the trials."""
    num_steps, processes = steps_of_epoch(trial, found), trial.trainer.world_size
    num_val, num_test = (len(found.splits[split]) / processes for split in ("val", "test"))
    training = features = per_image = 0.0
    for stage, watch in measured:
        per_image = watch.validations[-1] / len(data.split("val"))
        epoch = num_steps * watch.step + num_val * per_image + watch.overhead
        training += stage.num_epochs * epoch
    first = measured[0][1]
    if isinstance(trial.model, FeatureExtractor):
        num_images = (len(found.splits["train"]) + len(found.splits["val"])) / processes
        num_tried = len(data.split("train")) + len(data.split("val"))
        features = (first.train_start - first.fit_start) * num_images / num_tried
    decoding = decode_seconds * found.num_undecoded
    end = END_SECONDS + per_image * (num_val + num_test)
    num_epochs = sum(stage.num_epochs for stage, _ in measured)
    begin = start_up + found.seconds
    return Forecast(
        seconds=begin + decoding + features + training + end,
        training=training,
        epoch=training / max(num_epochs, 1),
        start=begin,
        decoding=decoding,
        features=features,
        end=end,
        num_steps=num_steps,
        step_milliseconds=1000 * measured[-1][1].step,
        checkpoint_bytes=measured[-1][1].checkpoint_bytes,
    )
