"""A learning-rate range test (Smith, 2017): train with rates from small to large, and look at the loss."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.tuner import Tuner

from ...engine.findings import Finding
from ...errors import shown
from .forecast import sample

if TYPE_CHECKING:
    from .data import DataFound
    from .doctor import Report
    from .training import Trial

LOWEST, HIGHEST, NUM_STEPS = 1e-6, 10.0, 100


def try_learning_rates(report: Report, trial: Trial, found: DataFound, file: Path) -> None:
    """Run Lightning's range test, draw it into ``file``, and compare the learning rate of the settings with it.

    All groups of parameters get the same rate, and the weights are restored at the end.
    """
    data, _ = sample(trial, found, NUM_STEPS * trial.data.batch_size, 1)
    model: Any = trial.model
    model.load_state_dict(trial.initial)
    model.freeze_for_epoch(0)
    without = {"logger": False, "enable_checkpointing": False, "max_epochs": 10_000, "check_val_every_n_epoch": 10_000}
    trainer = trial.parts.build_trainer([], **without, default_root_dir=trial.folder)
    options: dict[str, Any] = {"min_lr": LOWEST, "max_lr": HIGHEST, "num_training": NUM_STEPS, "update_attr": False}
    with nullcontext() if sys.stderr.isatty() else redirect_stderr(StringIO()):  # where its progress bar goes
        found_rates: Any = Tuner(trainer).lr_find(model, datamodule=data, **options)
    rates, losses = found_rates.results["lr"], found_rates.results["loss"]
    lr = model.optimizer_settings.lr
    draw(file, rates, losses, lr)
    report.details["learning_rates"] = [
        [rate, loss if math.isfinite(loss) else None] for rate, loss in zip(rates, losses, strict=False)
    ]
    report.add(judge(rates, losses, lr, file))


def judge(rates: Sequence[float], losses: Sequence[float], lr: float, file: Path) -> Iterator[Finding]:
    """Compare a learning rate with the range in which the loss falls."""
    pairs = [(rate, loss) for rate, loss in zip(rates, losses, strict=False) if math.isfinite(loss)]
    lowest_rate, lowest = min(pairs, key=lambda pair: pair[1])
    diverged = next((rate for rate, loss in pairs if rate > lowest_rate and loss > 2 * lowest), HIGHEST)
    what = (
        f"the loss is lowest at {lowest_rate:.2g} and is twice as high from {diverged:.2g} on; drawn in {shown(file)}"
    )
    advice = f"--model.optimizer.lr {lowest_rate / 3:.1g}"
    if lr >= diverged:
        yield Finding(
            "warning", "learning rate", f"model.optimizer.lr is {lr:g}, and {what}", "the training diverges", advice
        )
    elif lr < lowest_rate / 1000:
        why = "the weights change so slowly that the training needs many epochs"
        yield Finding("warning", "learning rate", f"model.optimizer.lr is {lr:g}, and {what}", why, advice)
    else:
        yield Finding("ok", "learning rate", f"{lr:g}: {what}")


def draw(file: Path, rates: Sequence[float], losses: Sequence[float], lr: float) -> None:
    """Draw the loss by learning rate, and the learning rate of the settings."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates[: len(losses)], losses)
    axes.axvline(lr, linestyle="--", color="grey", label=f"model.optimizer.lr = {lr:g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss, smoothed", title="Learning-rate range test")
    axes.legend()
    figure.savefig(file, dpi=150)
