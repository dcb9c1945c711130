"""What the diagnosis goes by: facts of a training, and measures of its learning curves."""

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

SLOW = 0.5  # share of the training loss that is left at the end
STEADY = 0.02  # largest rise of the training loss in an epoch, in units of ln K
NOTICEABLE = 0.01  # fall of the training loss from the first half of the epochs to the second, in units of ln K
NUM_STANDARD_ERRORS_OF_GUESS = 3


@dataclass(frozen=True)
class TrainingFacts:
    """What the rules need beside the curves. A rule that needs what is None is not judged.

    Attributes:
        monitor: the metric that says which epoch is kept.
        max_epochs: that the training was to have; -1 is without a limit.
        patience: of early stopping; None is without.
        is_annealed: the learning rate ends at 0 in the last of ``max_epochs``.
        is_mixed: training images are mixed in pairs, so that training accuracy is not that of images.
        num_train_images: None where it is not known.
        num_val_images: None where it is not known; differences are then taken as they are.
        train_share: what guessing the largest class gets of the training images, as the training shows them.
        val_share: what it gets of the validation images.
        num_classes: K.
        lr: learning rate given, for advice.
        is_finished: whether the run came to its test.
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
        """Ln K: the cross-entropy where all classes get the same probability."""
        return None if self.num_classes is None else math.log(self.num_classes)

    def rate(self, factor: float) -> str:
        """An option with the learning rate times a factor."""
        return f"--model.optimizer.lr{'' if self.lr is None else f' {factor * self.lr:.3g}'}"


def facts_of_training(run: RunRecord, data: ImageDataModule | None = None) -> TrainingFacts:
    """The facts, as the files of a run have them.

    Args:
        run: finished or not.
        data: its data set, where it is in memory.
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
    """K, of an unfinished run from its data set; None where that is no longer there."""
    if run.class_names:
        return len(run.class_names)
    try:
        return (data or run.data).facts.num_classes
    except (UserError, OSError):
        return None


def largest_share(counts: Sequence[int] | NDArray[np.int64] | None) -> float | None:
    """Of the largest class, from the number of images of each class."""
    return None if counts is None else float(max(counts) / sum(counts))


def kept_epoch(epochs: Sequence[EpochMetrics], monitor: Monitor) -> EpochMetrics | None:
    """The epoch whose weights are kept: the first of the best ones; None where none was validated."""
    sign = 1 if MODES[monitor] == "min" else -1
    candidates = [epoch for epoch in epochs if math.isfinite(epoch.get(monitor, math.nan))]
    return min(candidates, key=lambda epoch: sign * epoch[monitor], default=None)


def accuracies_kept(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> tuple[float | None, float | None]:
    """Training and validation accuracy in the kept epoch; None where there is none, or where it says nothing."""
    kept = kept_epoch(epochs, facts.monitor) or {}
    return None if facts.is_mixed else kept.get("train/acc"), kept.get("val/acc")


def rise_of_loss(epochs: Sequence[EpochMetrics]) -> tuple[float, bool]:
    """How far the validation loss ends above its lowest, relative; whether training went on without its accuracy.

    That is: since then the training loss fell, and validation accuracy did not rise. Where it rose, the loss is that of
    a model which is surer of fewer mistakes.
    """
    lowest = kept_epoch(epochs, "val/loss")
    if lowest is None or lowest["val/loss"] <= 0:
        return 0.0, False
    last = epochs[-1]
    fell = last.get("train/loss", math.inf) < lowest.get("train/loss", -math.inf)
    rose = last.get("val/acc", 0.0) > lowest.get("val/acc", 0.0)
    return last["val/loss"] / lowest["val/loss"] - 1, fell and not rose


def rise_of_training_loss(epochs: Sequence[EpochMetrics]) -> float:
    """How far the training loss comes above its lowest value until then, at most."""
    rise, lowest = 0.0, math.inf
    for loss in training_losses(epochs):
        lowest = min(lowest, loss)
        rise = max(rise, loss - lowest)
    return rise


def is_slow_and_steady(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> bool:
    """Whether the training loss fell all the time, and not far: what a learning rate that is too low looks like."""
    losses, unit = training_losses(epochs), facts.loss_of_guess or 1.0
    if len(losses) < 3:
        return False
    middle = len(losses) // 2
    fell = mean(losses[:middle]) - mean(losses[middle:])
    largest_rise = max(after - before for before, after in pairwise(losses))
    return fell >= NOTICEABLE * unit and largest_rise <= STEADY * unit and loss_left(epochs) >= SLOW


def loss_left(epochs: Sequence[EpochMetrics]) -> float:
    """The training loss of the last epoch, as a share of the first one's."""
    losses = training_losses(epochs)
    return losses[-1] / losses[0]


def training_losses(epochs: Sequence[EpochMetrics]) -> list[float]:
    return [epoch["train/loss"] for epoch in epochs if math.isfinite(epoch.get("train/loss", math.nan))]


def longest_wait(epochs: Sequence[EpochMetrics], monitor: Monitor) -> int:
    """Most epochs from one improvement of the metric to the next, until the best."""
    sign = 1 if MODES[monitor] == "min" else -1
    best, improved = math.inf, []
    for epoch in epochs:
        if sign * epoch.get(monitor, math.inf) < best:
            best = sign * epoch[monitor]
            improved.append(int(epoch["epoch"]))
    return max((after - before for before, after in pairwise(improved)), default=0)


def is_guessing(accuracy: float | None, share: float | None, num_images: int | None) -> bool | None:
    """Whether chance explains the accuracy of a guess at the largest class, which is ``share`` of the images."""
    if accuracy is None or share is None or num_images is None:
        return None
    return accuracy <= share + NUM_STANDARD_ERRORS_OF_GUESS * standard_error(share, num_images)


def standard_error(accuracy: float, num_images: int | None) -> float:
    """Of an accuracy on so many images; 0 where their number is not known."""
    return math.sqrt(accuracy * (1 - accuracy) / num_images) if num_images else 0.0
