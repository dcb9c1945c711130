"""What the learning curves say, by stated rules: every number that decides is a constant here, and is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ...models.monitor import MODES, Monitor
from ..record import EpochMetrics

LOW_ACCURACY = 0.9  # below it, on training images too, a model has not learned them
GAP = 0.05  # of accuracy between training and validation
DROP = 0.05  # of validation accuracy, from one epoch to the next
NUM_DROPS = 2  # one may be the unfreezing of a backbone
RISE = 0.1  # of the validation loss above its lowest, relative
FALL = 0.05  # of the validation loss in the last epoch, relative
NUM_STANDARD_ERRORS = 2  # a smaller difference of accuracies may be chance


@dataclass(frozen=True)
class TrainingFacts:
    """What the rules need beside the curves.

    Attributes:
        monitor: the metric that says which epoch is kept.
        max_epochs: that the training was to have; -1 is without a limit.
        patience: of early stopping; None is without.
        is_mixed: training images are mixed in pairs, so that training accuracy is not that of images.
        num_val_images: None where it is not known; differences are then taken as they are.
        is_finished: whether the run came to its test.
    """

    monitor: Monitor
    max_epochs: int
    patience: int | None = None
    is_mixed: bool = False
    num_val_images: int | None = None
    is_finished: bool = True


@dataclass(frozen=True)
class Check:
    """One rule, applied.

    Attributes:
        name: what is the matter where it holds.
        rule: the rule, with its numbers.
        measured: what was found.
        holds: None where it could not be judged.
        meaning: what it means, and what to do.
    """

    name: str
    rule: str
    measured: str
    holds: bool | None
    meaning: str


@dataclass(frozen=True)
class Diagnosis:
    """All rules, and the name of the whole: the rules that hold, or ``fine``."""

    checks: list[Check]

    @property
    def findings(self) -> list[Check]:
        return [check for check in self.checks if check.holds]

    @property
    def name(self) -> str:
        if any(check.holds is not None for check in self.checks):
            return ", ".join(check.name for check in self.findings) or "fine"
        return "too few epochs to say"


def diagnose(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Diagnosis:
    """Apply all rules to the metrics of the epochs, in order; those without a validation are passed over."""
    validated = [epoch for epoch in epochs if "val/loss" in epoch]
    return Diagnosis(
        [
            diverged(validated),
            unstable(validated, facts),
            underfitted(validated, facts),
            overfitted(validated, facts),
            still_improving(validated),
            stopped_early(validated, facts),
        ]
    )


def kept_epoch(epochs: Sequence[EpochMetrics], monitor: Monitor) -> EpochMetrics | None:
    """The epoch whose weights are kept: the first of the best ones; None where none was validated."""
    sign = 1 if MODES[monitor] == "min" else -1
    candidates = [epoch for epoch in epochs if math.isfinite(epoch.get(monitor, math.nan))]
    return min(candidates, key=lambda epoch: sign * epoch[monitor], default=None)


def diverged(epochs: Sequence[EpochMetrics]) -> Check:
    losses = [(epoch, name) for epoch in epochs for name in ("train/loss", "val/loss")]
    bad = [f"{name} in epoch {epoch['epoch']:.0f}" for epoch, name in losses if not math.isfinite(epoch.get(name, 0))]
    return Check(
        "diverged",
        "A loss is infinite or not a number.",
        bad[0] if bad else f"all finite in {count_epochs(len(epochs))}",
        bool(bad) if epochs else None,
        "The training went out of hand: lower --model.optimizer.lr, or clip gradients "
        "(--model.optimizer.gradient_clip_norm 1.0).",
    )


def unstable(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    late = epochs[len(epochs) // 2 :]
    accuracies = [epoch["val/acc"] for epoch in late]
    drops = [
        before - after
        for before, after in pairwise(accuracies)
        if before - after > max(DROP, NUM_STANDARD_ERRORS * math.sqrt(2) * standard_error(before, facts))
    ]
    return Check(
        "unstable",
        f"In the second half of the epochs, validation accuracy falls at least {NUM_DROPS} times by more than "
        f"{points(DROP)} from one epoch to the next, and by more than chance explains ({NUM_STANDARD_ERRORS} standard "
        "errors of the difference).",
        f"{len(drops)} such falls in {count_epochs(len(late))}",
        len(drops) >= NUM_DROPS if len(late) > NUM_DROPS else None,
        "Which epoch is kept is partly luck: lower --model.optimizer.lr, take larger batches, or average the weights "
        "(--averaging.ema_decay 0.999).",
    )


def underfitted(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    train, val = accuracies_kept(epochs, facts)
    holds = None if train is None or val is None else max(train, val) < LOW_ACCURACY and train - val <= GAP
    return Check(
        "underfitted",
        f"In the kept epoch, training and validation accuracy are both below {percent(LOW_ACCURACY)}, and at most "
        f"{points(GAP)} apart.",
        compare(train, val, facts),
        holds,
        "It does not know even its training images: train longer, with a larger network, a higher learning rate or "
        "less augmentation. Or the labels contradict each other: see the likely mislabelled images.",
    )


def overfitted(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    train, val = accuracies_kept(epochs, facts)
    is_wide = train is not None and val is not None and train - val > max(GAP, 2 * standard_error(val, facts))
    rise, train_fell = rise_of_loss(epochs)
    return Check(
        "overfitted",
        f"In the kept epoch, training accuracy is more than {points(GAP)} and {NUM_STANDARD_ERRORS} standard errors "
        f"above validation accuracy. Or the validation loss ends {percent(RISE)} or more above its lowest, while the "
        "training loss fell.",
        f"{compare(train, val, facts)}; validation loss ends {percent(rise)} above its lowest, and the training loss "
        f"{'fell' if train_fell else 'did not fall'} since",
        is_wide or (rise >= RISE and train_fell) if len(epochs) > 1 else None,
        "It learned its training images rather than what they have in common: more images, stronger augmentation, "
        "--model.optimizer.weight_decay, --model.dropout, or fewer epochs. The weights kept are those of the best "
        "validation, not of the end.",
    )


def still_improving(epochs: Sequence[EpochMetrics]) -> Check:
    losses = [epoch["val/loss"] for epoch in epochs]
    is_best_last = len(losses) > 1 and losses[-1] == min(losses)
    fall = 1 - losses[-1] / losses[-2] if len(losses) > 1 and losses[-2] > 0 else 0.0
    change = f"{percent(abs(fall))} {'lower' if fall >= 0 else 'higher'} than in the one before"
    return Check(
        "still improving",
        f"The validation loss is lowest in the last epoch, and fell by {percent(FALL)} or more in it.",
        f"validation loss of the last epoch: {change}" if len(losses) > 1 else "one epoch has none before it",
        is_best_last and fall >= FALL if len(losses) > 1 else None,
        "More epochs would probably help: train anew with a higher --trainer.max_epochs, over which the schedule of "
        "the learning rate then extends.",
    )


def stopped_early(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    num = int(epochs[-1]["epoch"]) + 1 if epochs else 0
    kept = kept_epoch(epochs, facts.monitor)
    waited = num - 1 - int(kept["epoch"]) if kept else 0
    if facts.patience is not None and waited >= facts.patience:
        reason = f"{facts.monitor} did not improve for {count_epochs(waited)}, and --early_stopping.patience is "
        reason += f"{facts.patience}. Where it was about to, give more patience."
    elif facts.is_finished:
        reason = "Not by early stopping: it was interrupted, or limited in steps or time."
    else:
        reason = "It did not come to its test: it was stopped, it failed, or it still goes on."
    return Check(
        "stopped early",
        "Fewer epochs than --trainer.max_epochs.",
        f"{num} of {count_epochs(facts.max_epochs)}"
        if facts.max_epochs > 0
        else f"{count_epochs(num)}, without a limit",
        num < facts.max_epochs if facts.max_epochs > 0 else None,
        reason,
    )


def accuracies_kept(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> tuple[float | None, float | None]:
    """Training and validation accuracy in the kept epoch; None where there is none, or where it says nothing."""
    kept = kept_epoch(epochs, facts.monitor) or {}
    return None if facts.is_mixed else kept.get("train/acc"), kept.get("val/acc")


def rise_of_loss(epochs: Sequence[EpochMetrics]) -> tuple[float, bool]:
    """How far the validation loss ends above its lowest, relative, and whether the training loss fell since."""
    lowest = kept_epoch(epochs, "val/loss")
    if lowest is None or lowest["val/loss"] <= 0:
        return 0.0, False
    last = epochs[-1]
    fell = last.get("train/loss", math.inf) < lowest.get("train/loss", -math.inf)
    return last["val/loss"] / lowest["val/loss"] - 1, fell


def standard_error(accuracy: float, facts: TrainingFacts) -> float:
    """Of an accuracy on the validation images; 0 where their number is not known."""
    return math.sqrt(accuracy * (1 - accuracy) / facts.num_val_images) if facts.num_val_images else 0.0


def compare(train: float | None, val: float | None, facts: TrainingFacts) -> str:
    if facts.is_mixed:
        return "training accuracy says nothing, because training images are mixed"
    if train is None or val is None:
        return "training or validation accuracy is missing"
    return f"training {percent(train)}, validation {percent(val)}"


def percent(share: float) -> str:
    return f"{100 * share:.3g}\N{NO-BREAK SPACE}%"


def points(share: float) -> str:
    return f"{100 * share:.3g} points"


def count_epochs(number: int) -> str:
    return "1 epoch" if number == 1 else f"{number} epochs"
