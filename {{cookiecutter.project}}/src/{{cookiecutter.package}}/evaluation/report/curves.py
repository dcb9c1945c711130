"""Inputs of the diagnosis: facts about a training, and measures of its learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from ...data import ImageDataModule
from ...errors import UserError
from ...models.monitor import MODES, Monitor
from ..record import EpochMetrics, RunRecord

SLOW = 0.5  # last training loss as a share of the first
STEADY = 0.02  # largest increase of the training loss in one epoch, in units of ln K
NOTICEABLE = 0.01  # decrease of the mean training loss between the two halves of the epochs, in units of ln K
NUM_STANDARD_ERRORS_OF_GUESS = 3


@dataclass(frozen=True)
class TrainingFacts:
    """Facts that the rules need besides the curves. A rule is not judged if a fact that it needs is None.

    Attributes:
        monitor: metric that selects the best epoch.
        max_epochs: maximum number of epochs; -1 means no limit.
        patience: patience of early stopping; None if it is off.
        is_annealed: whether the schedule ends with a learning rate of 0 after ``max_epochs``.
        is_mixed: whether training images are mixed in pairs, which makes training accuracy meaningless.
        num_train_images: number of training images; None if unknown.
        num_val_images: number of validation images; None if unknown, and standard errors are then 0.
        train_share: accuracy of always predicting the largest class on the training images, as sampled in training.
        val_share: the same for the validation images.
        num_classes: number of classes, K.
        lr: learning rate of the config, for advice.
        is_finished: whether the run has a test result.
    """

    monitor: Monitor
    max_epochs: int
    patience: int | None = None
    is_annealed: bool = False
    is_mixed: bool = False
    num_train_images: int | None = None
    num_val_images: int | None = None
    train_share: float | None = None
    val_share: float | None = None
    num_classes: int | None = None
    lr: float | None = None
    is_finished: bool = True

    @property
    def loss_of_guess(self) -> float | None:
        """Ln K: the cross-entropy if all classes have the same probability."""
        return None if self.num_classes is None else math.log(self.num_classes)

    def rate(self, factor: float) -> str:
        """Command-line option that sets the learning rate to ``factor`` times the current one."""
        return f"--model.optimizer.lr{'' if self.lr is None else f' {factor * self.lr:.3g}'}"


def facts_of_training(run: RunRecord, data: ImageDataModule | None = None) -> TrainingFacts:
    """Read the facts from the files of a run.

    Args:
        run: record of the run, finished or not.
        data: data set of the run if it is in memory.
    """
    config, model = run.config, run.config["model"].get("init_args", {})
    num_classes, val = num_classes_of(run, data), run.outputs("val")
    train_counts, val_counts = run.summary.get("train/class_counts"), None if val is None else np.bincount(val.labels)
    is_balanced = config["data"].get("init_args", {}).get("imbalance") == "sampler"  # all classes equally often
    train_share = 1 / num_classes if is_balanced and num_classes else largest_share(train_counts)
    return TrainingFacts(
        monitor=config["monitor"],
        max_epochs=config["trainer"].get("max_epochs") or -1,
        patience=config.get("early_stopping", {}).get("patience"),
        is_annealed=model.get("schedule", {}).get("name") in {"onecycle", "cosine"},
        is_mixed=model.get("mix", {}).get("name", "none") != "none",
        num_train_images=run.summary.get("num_train_images"),
        num_val_images=None if val is None else len(val),
        train_share=train_share,
        val_share=largest_share(val_counts),
        num_classes=num_classes,
        lr=model.get("optimizer", {}).get("lr"),
        is_finished=bool(run.summary),
    )


def num_classes_of(run: RunRecord, data: ImageDataModule | None) -> int | None:
    """Number of classes; for unfinished runs, from the data set; None if that is not available."""
    if run.class_names:
        return len(run.class_names)
    try:
        return (data or run.data).facts.num_classes
    except (UserError, OSError):
        return None


def largest_share(counts: Sequence[int] | NDArray[np.int64] | None) -> float | None:
    """Share of the largest class, from the number of images of each class."""
    return None if counts is None else float(max(counts) / sum(counts))


def kept_epoch(epochs: Sequence[EpochMetrics], monitor: Monitor) -> EpochMetrics | None:
    """The epoch whose weights are kept: the first of the best epochs; None if no epoch was validated."""
    sign = 1 if MODES[monitor] == "min" else -1
    candidates = [epoch for epoch in epochs if math.isfinite(epoch.get(monitor, math.nan))]
    return min(candidates, key=lambda epoch: sign * epoch[monitor], default=None)


def accuracies_kept(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> tuple[float | None, float | None]:
    """Training and validation accuracy in the kept epoch; None if unknown or, for training, not meaningful."""
    kept = kept_epoch(epochs, facts.monitor) or {}
    return None if facts.is_mixed else kept.get("train/acc"), kept.get("val/acc")


def rise_of_loss(epochs: Sequence[EpochMetrics]) -> tuple[float, bool]:
    """Relative rise of the validation loss from its minimum to the last epoch, and whether it indicates overfitting.

    It does if, since the minimum, the training loss fell and validation accuracy did not rise. If accuracy rose, the
    model makes fewer mistakes, but with higher confidence.
    """
    lowest = kept_epoch(epochs, "val/loss")
    if lowest is None or lowest["val/loss"] <= 0:
        return 0.0, False
    last = epochs[-1]
    fell = last.get("train/loss", math.inf) < lowest.get("train/loss", -math.inf)
    rose = last.get("val/acc", 0.0) > lowest.get("val/acc", 0.0)
    return last["val/loss"] / lowest["val/loss"] - 1, fell and not rose


def rise_of_training_loss(epochs: Sequence[EpochMetrics]) -> float:
    """Largest difference between the training loss and its lowest value so far."""
    rise, lowest = 0.0, math.inf
    for loss in training_losses(epochs):
        lowest = min(lowest, loss)
        rise = max(rise, loss - lowest)
    return rise


def is_slow_and_steady(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> bool:
    """Whether the training loss fell slowly and steadily, which suggests that the learning rate is too low."""
    losses, unit = training_losses(epochs), facts.loss_of_guess or 1.0
    if len(losses) < 3:
        return False
    middle = len(losses) // 2
    fell = mean(losses[:middle]) - mean(losses[middle:])
    largest_rise = max(after - before for before, after in pairwise(losses))
    return fell >= NOTICEABLE * unit and largest_rise <= STEADY * unit and loss_left(epochs) >= SLOW


def loss_left(epochs: Sequence[EpochMetrics]) -> float:
    """Training loss of the last epoch as a share of that of the first epoch."""
    losses = training_losses(epochs)
    return losses[-1] / losses[0]


def training_losses(epochs: Sequence[EpochMetrics]) -> list[float]:
    return [epoch["train/loss"] for epoch in epochs if math.isfinite(epoch.get("train/loss", math.nan))]


def longest_wait(epochs: Sequence[EpochMetrics], monitor: Monitor) -> int:
    """Largest number of epochs between two consecutive improvements of the metric."""
    sign = 1 if MODES[monitor] == "min" else -1
    best, improved = math.inf, []
    for epoch in epochs:
        if sign * epoch.get(monitor, math.inf) < best:
            best = sign * epoch[monitor]
            improved.append(int(epoch["epoch"]))
    return max((after - before for before, after in pairwise(improved)), default=0)


def is_guessing(accuracy: float | None, share: float | None, num_images: int | None) -> bool | None:
    """Whether the accuracy is not significantly above ``share``, that of always predicting the largest class."""
    if accuracy is None or share is None or num_images is None:
        return None
    return accuracy <= share + NUM_STANDARD_ERRORS_OF_GUESS * standard_error(share, num_images)


def standard_error(accuracy: float, num_images: int | None) -> float:
    """Standard error of an accuracy on ``num_images`` images; 0 if their number is not known."""
    return math.sqrt(accuracy * (1 - accuracy) / num_images) if num_images else 0.0
