"""A sample of the data, and single steps of the model: their time, their memory, and their loss by learning rate."""

import math
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...data import ImageDataModule
from ...data.base import DecodedDataModule
from ...engine.contracts import count_parameters
from ...engine.findings import Finding
from ...engine.image_cache import decode_into_memory, refuse_or_skip
from ...engine.images import LabelledImages, SelectedImages, UndecodedImages
from ...engine.optimization import OptimizerSettings, build_optimizer
from ...engine.splits import Split
from ...facts import ImageFacts
from ...files import megabytes
from .data import DataFound
from .machine import available_memory
from .settings import Trial

RESERVE = 0.8  # share of the available memory that a training may use
SECONDS = 2.0  # of steps at the highest learning rate
MAX_STEPS, MIN_STEPS = 20, 5  # at that rate
DIVERGED = 10.0  # a loss that is so many times as high as at the start, or as that of guessing
REPLACED = 30.0  # times their size that weights may change in these steps
UNCHANGED = 0.01  # of their size that weights change in a whole training, below which it learns nothing
PROBES = 2, 16  # images of the steps whose memory is measured


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


# Memory.


def device_of(trial: Trial) -> torch.device:
    return trial.trainer.strategy.root_device


def examine_memory(trial: Trial, found: DataFound, data: SampledData) -> Iterator[Finding]:
    """The largest batch that fits, from the memory of two small steps."""
    device, size = device_of(trial), trial.data.batch_size
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else (available_memory() or 0) - found.num_bytes
    few, many = PROBES
    small = peak_of_step(trial, data, few)
    if free <= 0 or small is None:
        return
    large = peak_of_step(trial, data, many) if small * many / few < RESERVE * free else small * many / few
    if large is None:
        return
    facts = trial.data.facts
    least = 5 * facts.num_channels * facts.image_size**2  # the image, and the same as float
    per_image = max((large - small) / (many - few), least)
    states = 16 * count_parameters(trial.model)  # weights, gradients and two values of Adam, 4 bytes each
    room = RESERVE * free - states
    fits = int(room / per_image)
    needed = per_image * size + states
    what = f"a step of {size:,} images needs about {megabytes(needed)}, and {megabytes(free)} are free"
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
    before = float(torch.cuda.memory_allocated(device)) if is_gpu else resident(reset=True)
    if before is None:
        return None
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
    loss.backward()
    return loss.detach()


def seconds_of_step(trial: Trial, data: SampledData) -> float:
    """Seconds of a step, from the second of two passes of a few images."""
    images, labels = (part.to(device_of(trial)) for part in batch_of(data, min(16, max(2, trial.data.batch_size))))
    seconds = 0.0
    for _ in range(2):
        begin = time.monotonic()
        pass_of(trial.model, images, labels).item()
        seconds = time.monotonic() - begin
    trial.model.zero_grad()
    return max(seconds * trial.data.batch_size / len(images), 1e-3)


# Steps at given learning rates.


def losses_at(trial: Trial, data: SampledData, rates: Iterable[float]) -> Iterator[float]:
    """Train one step with each learning rate, which groups of parameters multiply by their factors; yield the losses.

    Lightning's finder gives all groups the same rate, and its smoothed losses lag fifty steps behind.
    """
    model: Any = trial.model
    model.to(device_of(trial))
    size, settings = trial.data.batch_size, optimizer_of(trial)
    optimizer = build_optimizer(settings, model.parameter_groups(), fused=False)
    factors = [group["lr"] / settings.lr for group in optimizer.param_groups]
    for number, rate in enumerate(rates):
        for group, factor in zip(optimizer.param_groups, factors, strict=True):
            group["lr"] = rate * factor
        images, labels = (part.to(model.device) for part in batch_of(data, size, number * size))
        yield pass_of(model, images, labels).item()
        if settings.gradient_clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip_norm)
        optimizer.step()
        optimizer.zero_grad()


def optimizer_of(trial: Trial) -> OptimizerSettings:
    """The settings for the batch of all processes; their ``lr`` is the highest rate of the schedule."""
    accumulated = trial.trainer.world_size * trial.trainer.accumulate_grad_batches
    return trial.model.optimizer_settings.for_batch(trial.data.batch_size * accumulated)


@dataclass
class Course:
    """What some steps at one learning rate did: the losses, and how much the weights changed."""

    losses: list[float]
    change: float  # norm of the difference, as a multiple of the norm before

    def diverges(self, guess: float, times: float = DIVERGED) -> bool:
        """Whether the loss ends above so many times that of the start, or of guessing, or weights are replaced."""
        end = statistics.fmean(self.losses[-3:])
        return not (end <= times * max(self.losses[0], guess) and self.change < REPLACED)


def follow(trial: Trial, data: SampledData, lr: float, num_steps: int) -> Course:
    """Train some steps at one learning rate, from the initial weights on."""
    model = trial.model
    model.load_state_dict(trial.initial)
    model.freeze_for_epoch(10**6)  # the last stage, which trains most
    weights = [one for one in model.parameters() if one.requires_grad and one.ndim > 1]
    before = [one.detach().clone() for one in weights]
    losses = list(losses_at(trial, data, [lr] * num_steps))
    with torch.no_grad():
        moved = math.hypot(*((one - old.to(one)).norm().item() for one, old in zip(weights, before, strict=True)))
    return Course(losses, moved / max(math.hypot(*(old.norm().item() for old in before)), 1e-9))


def steps_to_follow(step: float) -> int:
    return min(MAX_STEPS, int(SECONDS / step))


def working_rate(trial: Trial, data: SampledData, lr: float, step: float) -> float:
    """The first of ``lr``, a tenth, a hundredth, ... of it at which the loss does not rise in some steps."""
    guess, num_steps = math.log(trial.data.facts.num_classes), max(MIN_STEPS, steps_to_follow(step))
    rates = [lr / 10**power for power in range(12)]
    return next((rate for rate in rates if not follow(trial, data, rate, num_steps).diverges(guess, 1.0)), rates[-1])


def examine_rate(trial: Trial, data: SampledData, step: float, num_updates: float) -> Iterator[Finding]:
    """Train some steps at the highest learning rate of the schedule, which the trial of its first epochs is below.

    Args:
        trial: the training.
        data: a sample of its images.
        step: seconds of a step.
        num_updates: steps of the optimizer in the whole training.
    """
    num_steps, lr = steps_to_follow(step), optimizer_of(trial).lr
    if num_steps < MIN_STEPS:
        return
    course = follow(trial, data, lr, num_steps)
    start, end, given = course.losses[0], statistics.fmean(course.losses[-3:]), trial.model.optimizer_settings.lr
    if course.diverges(math.log(trial.data.facts.num_classes)):
        told = f"the loss goes from {start:.2g} to {end:.2g}, and the weights change to {course.change:.2g} times"
        what = f"with {lr:g}, the highest rate of the schedule, {told} their size in {num_steps} steps"
        rate = working_rate(trial, data, lr / 10, step) * given / lr
        yield Finding("warning", "learning rate", what, "the training diverges", f"--model.optimizer.lr {rate:.3g}")
    elif (change := course.change * num_updates / num_steps) < UNCHANGED:
        what = f"with {lr:g}, the highest rate of the schedule, weights change by {change:.1g} of their size in all"
        rate = working_rate(trial, data, lr * 0.3 / max(change, 1e-12), step) * given / lr
        why = f"{num_updates:,.0f} steps are too few for so small a rate: the model learns nothing"
        yield Finding("warning", "learning rate", what, why, f"--model.optimizer.lr {rate:.1g}")
