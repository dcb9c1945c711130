"""Forecasts time and memory of a training from a few of its steps, which run in a temporary folder."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from ...data import ImageDataModule
from ...data.base import EVALUATION_BATCHES, DecodedDataModule
from ...engine.companions import closing
from ...engine.contracts import FeatureExtractor, count_parameters
from ...engine.findings import Finding
from ...engine.image_cache import decode_into_memory, refuse_or_skip
from ...engine.images import LabelledImages, SelectedImages, UndecodedImages
from ...engine.optimization import build_optimizer
from ...engine.run_directory import LAST_CHECKPOINT
from ...engine.splits import Split
from ...engine.stopping import DivergedError, require_finite_losses
from ...errors import UserError
from ...facts import ImageFacts
from ...fit import start
from .machine import available_memory, free_disk

if TYPE_CHECKING:
    from .data import DataFound
    from .doctor import Report
    from .training import Trial

SECONDS = 2.0  # of training steps in one epoch of a trial
MAX_STEPS, MIN_STEPS = 64, 2
SLOW = 0.5  # seconds of a step, from which on one epoch is enough: in a fast one, the first steps take longer
RESERVE = 0.8  # share of the available memory that a training may use
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
        parts = {"start": self.start, "decoding": self.decoding, "features": self.features, "training": self.training}
        listed = ", ".join(
            f"{name} {shown(value)}" for name, value in (parts | {"end": self.end}).items() if value >= 0.05
        )
        epoch = f"an epoch takes {shown(self.epoch)} ({self.num_steps:,} steps of {self.step_milliseconds:.3g} ms)"
        return f"{epoch}, the whole run {shown(self.seconds)} ({listed})"


def shown(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


class SampledData(ImageDataModule):
    """A few images of each split of a data set, served in the same way."""

    def __init__(self, data: ImageDataModule, splits: dict[Split, LabelledImages]) -> None:
        super().__init__(data.batch_size, data.num_workers, data.augmentation)
        self.mirror, self.whole = data.mirror, data
        self._loaded |= splits

    @property
    def facts(self) -> ImageFacts:
        return self.whole.facts

    def load_split(self, split: Split) -> LabelledImages:
        return self.whole.split(split)

    def require_variety(self) -> None:
        """Checked for all images when the splits were opened."""


def forecast(report: Report, trial: Trial, found: DataFound, start_up: float) -> Forecast | None:
    """Try a few steps of each stage of the training; None if that fails, or if the training has no limit."""
    probe, _ = sample(trial, found, 16, 8)
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
        watch = try_stage(report, trial, data, stage, num_epochs)
        if watch is None:
            return None
        measured.append((stage, watch))
    report.add(examine_peak(trial, data, step))
    report.add(examine_checkpoints(trial, measured[-1][1].checkpoint_bytes))
    if (trial.trainer.max_epochs or -1) < 0:
        return None
    return add_up(trial, found, data, measured, rate, start_up)


# A sample of the data.


def sample(trial: Trial, found: DataFound, num_train: int, num_others: int) -> tuple[SampledData, float]:
    """Data of up to so many images a split, and the seconds to decode one image, 0 if that happens in each epoch."""
    splits: dict[Split, LabelledImages] = {}
    seconds, num_decoded = 0.0, 0
    for split, images in found.splits.items():
        number = min(len(images), num_train if split == "train" else num_others)
        is_remote = not isinstance(images.images, Tensor | UndecodedImages)  # perhaps: neighbours are in one chunk
        chosen = torch.arange(number) if is_remote else torch.arange(number) * len(images) // number
        begin = time.monotonic()
        splits[split] = decoded(trial, images, chosen)
        seconds, num_decoded = seconds + time.monotonic() - begin, num_decoded + number
    return SampledData(trial.data, splits), seconds / max(num_decoded, 1)


def decoded(trial: Trial, images: LabelledImages, chosen: Tensor) -> LabelledImages:
    """The chosen images; in memory, if the training will have them there or in a cache."""
    labels, names = images.labels[chosen], [images.names[position] for position in chosen.tolist()]
    is_kept = trial.cache in {"auto", "memory", "disk"} or (
        trial.cache is None and isinstance(trial.data, DecodedDataModule) and trial.data.fits_in_memory(len(images))
    )
    if isinstance(images.images, Tensor) or not is_kept:
        return images.subset(chosen)
    if not isinstance(images.images, UndecodedImages):
        return LabelledImages(SelectedImages(images.images, chosen).load(), labels, names)
    files = [images.images.file(position) for position in chosen.tolist()]
    tensor, failures = decode_into_memory(files, images.images.decoding, "decoding a sample")
    if failures:
        refuse_or_skip(failures, f"{len(files)} images of a sample", skip=trial.arguments.get("unreadable") == "skip")
    kept = torch.tensor([position for position, file in enumerate(files) if file not in failures], dtype=torch.long)
    return LabelledImages(
        tensor.contiguous(memory_format=torch.channels_last), labels[kept], [names[i] for i in kept.tolist()]
    )


def steps_of_epoch(trial: Trial, found: DataFound) -> int:
    """Batches of an epoch of the user's training, for each process."""
    share, size = len(found.splits["train"]) // trial.trainer.world_size, trial.data.batch_size
    number, limit = max(1, share // size), trial.trainer.limit_train_batches
    return number if limit is None else min(number, limit) if isinstance(limit, int) else max(1, int(number * limit))


# Memory.


def device_of(trial: Trial) -> torch.device:
    return trial.trainer.strategy.root_device


def examine_memory(trial: Trial, found: DataFound, data: SampledData) -> Iterator[Finding]:
    """The largest batch that fits, from the memory of two small steps."""
    device, size = device_of(trial), trial.data.batch_size
    small, large = (peak_of_step(trial, data, num_images) for num_images in (4, 16))
    if large is None or small is None:
        return
    facts = trial.data.facts
    least = 5 * facts.num_channels * facts.image_size**2  # the image, and the same as float
    per_image = max((large - small) / 12, least)
    states = 16 * count_parameters(trial.model)  # weights, gradients and two values of Adam, 4 bytes each
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else (available_memory() or 0) - found.num_bytes
    room = RESERVE * free - states
    if free <= 0:
        return
    fits = int(room / per_image)
    needed = per_image * size + states
    what = f"a step of {size:,} images needs about {needed / 1e6:,.0f} MB, and {free / 1e9:,.1f} GB are free"
    if fits < size:
        best = 2 ** int(math.log2(fits)) if fits >= 1 else 1
        accumulate = f", with --trainer.accumulate_grad_batches {math.ceil(size / best)} for the same step"
        remedy = f"--data.batch_size {best}{accumulate}"
        yield Finding("error", "batch size", what, "the training runs out of memory", remedy)
    else:
        limit = min(fits, len(found.splits["train"]))
        yield Finding("ok", "batch size", f"{what}: {2 ** int(math.log2(limit)):,} images and more would fit")


def peak_of_step(trial: Trial, data: SampledData, num_images: int) -> float | None:
    """Bytes that a forward and a backward pass need at most, besides the model; None if it cannot be measured."""
    device = device_of(trial)
    images, labels = batch_of(data, num_images)
    model = trial.model.to(device)
    is_gpu = device.type == "cuda"
    if is_gpu:
        torch.cuda.reset_peak_memory_stats(device)
        before = float(torch.cuda.memory_allocated(device))
    elif (now := resident(reset=True)) is None:
        return None
    else:
        before = now
    pass_of(model, images.to(device), labels.to(device))
    model.zero_grad()
    after = float(torch.cuda.max_memory_allocated(device)) if is_gpu else resident()
    return None if after is None else after - before


def resident(*, reset: bool = False) -> float | None:
    """Bytes of this process's memory, at its highest since the last reset; None where that cannot be read."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


def batch_of(data: SampledData, num_images: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """Training images and labels; images are repeated if there are too few."""
    train = data.split("train")
    positions = (torch.arange(num_images) + first) % len(train)
    return train.images[positions], train.labels[positions]


def pass_of(model: Any, images: Tensor, labels: Tensor) -> Tensor:
    """The loss of a batch, with gradients."""
    model.train()
    model.freeze_for_epoch(10**6)  # the last stage, which trains most
    loss: Tensor = model.training_step((images, labels), 0)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def seconds_of_step(trial: Trial, data: SampledData) -> float:
    """Seconds of a step, from the second of two passes of a few images."""
    images, labels = (part.to(device_of(trial)) for part in batch_of(data, min(16, trial.data.batch_size)))
    seconds = 0.0
    for _ in range(2):
        begin = time.monotonic()
        pass_of(trial.model, images, labels).item()
        seconds = time.monotonic() - begin
    trial.model.zero_grad()
    return max(seconds * trial.data.batch_size / len(images), 1e-3)


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


def try_stage(report: Report, trial: Trial, data: SampledData, stage: Stage, num_epochs: int) -> Stopwatch | None:
    """Train one or two epochs of a stage as ``fit`` does; None, with a finding, if that fails."""
    command, model, watch = trial.parts, trial.model, Stopwatch(num_epochs)
    frozen = type(model).frozen_modules
    model.frozen_modules = lambda _: frozen(model, stage.first)  # type: ignore[method-assign, assignment]
    if stage.first > 0:
        command.built.cache_features = "off"
    one = {"devices": 1, "num_nodes": 1, "strategy": "auto", "enable_progress_bar": False, "min_epochs": None}
    whole = {"limit_train_batches": 1.0, "limit_val_batches": 1.0, "fast_dev_run": False, "overfit_batches": 0.0}
    vars(command.built.trainer).update(one | whole | {"num_sanity_val_steps": 0})
    try:
        with closing([]):
            run = start(command, type(trial.origin)(), data, model, [], [watch])
            run.trainer.fit(model, datamodule=data)
            require_finite_losses(run.trainer)
            file = run.directory / LAST_CHECKPOINT
            watch.checkpoint_bytes = file.stat().st_size if file.is_file() else 0
        return watch
    except UserError:
        raise
    except MisconfigurationException as error:
        raise UserError(f"the trainer failed: {error}") from error
    except DivergedError as error:
        lr = model.optimizer_settings.lr
        remedy = f"--model.optimizer.lr {lr / 10:g}, and doctor --lr, which tries learning rates"
        what = f"diverged in a trial: {error}, with a learning rate of {lr:g}"
        report.add([Finding("error", "learning rate", what, "fit stops such a training", remedy)])
        return None
    finally:
        del model.frozen_modules


def examine_steps(trial: Trial, found: DataFound) -> Iterator[Finding]:
    """Batches that are too large for the data, or leave many images out."""
    share, size = len(found.splits["train"]) // trial.trainer.world_size, trial.data.batch_size
    if share < size:
        why = "an epoch has one step, so that the weights change only once in it"
        remedy = f"--data.batch_size {max(2, share // 8)}"
        what = f"data.batch_size is {size}, and there are {share} training images for each process"
        yield Finding("warning", "batch size", what, why, remedy)
    elif share // size < 4:
        why = f"each epoch leaves out {share % size} images, and the weights change {share // size} times in it"
        what = f"data.batch_size is {size}, and there are {share} training images for each process"
        yield Finding(
            "warning", "batch size", what, why, f"--data.batch_size {max(2, 2 ** int(math.log2(share // 8 or 2)))}"
        )


def examine_peak(trial: Trial, data: SampledData, step: float) -> Iterator[Finding]:
    """Train some steps at the highest learning rate of the schedule, which the trial of its first epochs is below."""
    model: Any = trial.model
    num_steps, size = min(20, int(SECONDS / step)), trial.data.batch_size
    if num_steps < 5:
        return
    model.to(device_of(trial)).freeze_for_epoch(10**6)
    world = trial.trainer.world_size * trial.trainer.accumulate_grad_batches
    settings = model.optimizer_settings.for_batch(size * world)
    optimizer = build_optimizer(settings, model.parameter_groups(), fused=False)
    losses = []
    for number in range(num_steps):
        images, labels = (part.to(model.device) for part in batch_of(data, size, number * size))
        losses.append(pass_of(model, images, labels).item())
        if settings.gradient_clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip_norm)
        optimizer.step()
        optimizer.zero_grad()
    end, guess = statistics.fmean(losses[-3:]), math.log(trial.data.facts.num_classes)
    if not math.isfinite(end) or end > 10 * max(losses[0], guess):
        losses_text = f"the loss goes from {losses[0]:.2g} to {end:.2g} in {num_steps} steps"
        what = f"with {settings.lr:g}, the highest rate of the schedule, {losses_text}"
        remedy = f"--model.optimizer.lr {settings.lr / 10:g}, and doctor --lr, which tries learning rates"
        yield Finding("warning", "learning rate", what, "the training diverges", remedy)


def examine_checkpoints(trial: Trial, num_bytes: int) -> Iterator[Finding]:
    """Whether the disk has space for the best and the last checkpoint, and for one that is being written."""
    root = Path(trial.command.config.run.directory or trial.command.config.run.root)
    free, needed = free_disk(root), 3 * num_bytes
    what = f"a run needs {needed / 1e6:,.0f} MB for checkpoints, and {free / 1e9:.1f} GB are free at {str(root)!r}"
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
        features = (
            (first.train_start - first.fit_start) * num_images / (len(data.split("train")) + len(data.split("val")))
        )
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
