"""A learning-rate range test (Smith, 2017): train with rates from small to large, and look at the loss."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...engine.findings import Finding
from ...errors import shown
from .data import DataFound
from .doctor import Report
from .settings import Trial
from .steps import losses_at, optimizer_of, sample

LOWEST, HIGHEST, NUM_STEPS = 1e-6, 10.0, 100
SMOOTHING = 0.8  # weight of the smoothed loss before
DIVERGED = 2.0  # times the lowest smoothed loss
TOO_LOW = 1000.0  # so many times below the rate with the lowest loss


def try_learning_rates(report: Report, trial: Trial, found: DataFound, file: Path) -> None:
    """Train with the initial weights, draw the loss by learning rate into ``file``, and judge that of the settings."""
    data, _ = sample(trial, found, NUM_STEPS * trial.data.batch_size, 1)
    trial.model.load_state_dict(trial.initial)
    rates = [LOWEST * (HIGHEST / LOWEST) ** (step / (NUM_STEPS - 1)) for step in range(NUM_STEPS)]
    losses: list[float] = []
    for loss in smoothed(losses_at(trial, data, rates)):
        losses.append(loss)
        if not loss <= 2 * DIVERGED * min(losses):
            break
    lr = optimizer_of(trial).lr
    draw(file, rates, losses, lr)
    pairs = zip(rates, losses, strict=False)
    report.details["learning_rates"] = [[rate, loss if math.isfinite(loss) else None] for rate, loss in pairs]
    report.add(judge(rates, losses, lr, file))


def smoothed(losses: Iterator[float]) -> Iterator[float]:
    """Exponential moving average, corrected for its start."""
    average = weight = 0.0
    for loss in losses:
        average, weight = SMOOTHING * average + (1 - SMOOTHING) * loss, SMOOTHING * weight + 1 - SMOOTHING
        yield average / weight


def judge(rates: Sequence[float], losses: Sequence[float], lr: float, file: Path) -> Iterator[Finding]:
    """Compare a learning rate with the range in which the loss falls."""
    best = min(range(len(losses)), key=lambda step: losses[step] if math.isfinite(losses[step]) else math.inf)
    after = [rates[step] for step in range(best, len(losses)) if not losses[step] <= DIVERGED * losses[best]]
    end = f"is twice as high from {after[0]:.1g} on" if after else f"stays low up to {HIGHEST:g}"
    what = f"the loss is lowest at {rates[best]:.1g} and {end}; drawn in {shown(file)}"
    advice = f"--model.optimizer.lr {rates[best] / 3:.1g}"
    if after and lr >= after[0]:
        what = f"the highest rate of the schedule is {lr:g}, and {what}"
        yield Finding("warning", "learning rate", what, "the training diverges", advice)
    elif lr < rates[best] / TOO_LOW:
        what = f"the highest rate of the schedule is {lr:g}, and {what}"
        why = "the weights change so slowly that the training needs many epochs"
        yield Finding("warning", "learning rate", what, why, advice)
    else:
        yield Finding("ok", "learning rate", f"{lr:g}: {what}; {rates[best] / 3:.1g} is worth a try")


def draw(file: Path, rates: Sequence[float], losses: Sequence[float], lr: float) -> None:
    """Draw the loss by learning rate, and the learning rate of the settings."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates[: len(losses)], losses)
    axes.axvline(lr, linestyle="--", color="grey", label=f"highest rate of the schedule, {lr:g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss, smoothed", title="Learning-rate range test")
    axes.legend()
    figure.savefig(file, dpi=150)
