"""Diagnosis of the learning curves by fixed rules, whose constants are defined here and shown in the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ..record import EpochMetrics
from .curves import (
    NUM_STANDARD_ERRORS_OF_GUESS,
    TrainingFacts,
    accuracies_kept,
    is_guessing,
    is_slow_and_steady,
    kept_epoch,
    longest_wait,
    loss_left,
    rise_of_loss,
    rise_of_training_loss,
    standard_error,
)

DIVERGED = 1.25  # training loss, in units of ln K: the loss of a guess
RISE_OF_TRAINING_LOSS = 0.2  # of the training loss above its lowest value so far, in units of ln K
BARELY_FALLEN = 0.9  # last training loss as a share of the first
LOW_ACCURACY = 0.9  # a model whose training accuracy is lower has not learned the training images
GAP = 0.05  # difference between training and validation accuracy
MEMORISED = 0.2  # the same, if validation accuracy is no better than guessing
DROP = 0.05  # of validation accuracy, from one epoch to the next
NUM_DROPS = 2  # a single drop may be caused by unfreezing the backbone
RISE = 0.1  # of the validation loss above its lowest value, relative
FALL = 0.05  # of the validation loss in the last epoch, relative
IDLE = 0.5  # share of the epochs that come after the kept one
NUM_IDLE = 5  # minimum number of epochs after the kept one
NUM_STANDARD_ERRORS = 2  # a smaller difference of accuracies may be chance

# For each rule, the rules that are not judged if it holds, because their result would be misleading.
EXCLUDED = {
    "diverged": {
        "no better than guessing",
        "memorised",
        "unstable",
        "underfitted",
        "overfitted",
        "still improving",
        "more epochs than needed",
        "stopped early",
    },
    "no better than guessing": {"unstable", "underfitted", "overfitted", "more epochs than needed"},
    "memorised": {"no better than guessing", "unstable", "underfitted", "overfitted", "more epochs than needed"},
    "unstable": {"more epochs than needed"},
}


@dataclass(frozen=True)
class Check:
    """A rule and its result.

    Attributes:
        name: name of the problem.
        rule: text of the rule, with its thresholds.
        measured: measured values.
        holds: whether the rule holds; None if it cannot be judged.
        meaning: what to do, in the first sentence; then the reason or alternatives.
    """

    name: str
    rule: str
    measured: str
    holds: bool | None
    meaning: str


@dataclass(frozen=True)
class Diagnosis:
    """Results of all rules; the name lists the rules that hold, or is ``fine``."""

    checks: list[Check]

    @property
    def findings(self) -> list[Check]:
        return [check for check in self.checks if check.holds]

    @property
    def name(self) -> str:
        if any(check.holds is not None for check in self.checks):
            return ", ".join(check.name for check in self.findings) or "fine"
        return "too few epochs to say"

    @property
    def line(self) -> str:
        """The name, with the measured values and the advice of the first rule that holds."""
        if not self.findings:
            return self.name
        first = self.findings[0]
        return f"{self.name} ({first.measured}). {first.meaning.split('. ')[0].rstrip('.')}."

    @property
    def has_learned(self) -> bool:
        """Whether the model has learned enough to examine its calibration and to find mislabelled images."""
        return not any(check.name in {"diverged", "no better than guessing", "memorised"} for check in self.findings)


def diagnose(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Diagnosis:
    """Apply all rules to the metrics of the epochs, in order; only the first rule uses epochs without validation."""
    validated = [epoch for epoch in epochs if "val/loss" in epoch]
    checks = [
        diverged(epochs, facts),
        no_better_than_guessing(validated, facts),
        memorised(validated, facts),
        unstable(validated, facts),
        underfitted(validated, facts),
        overfitted(validated, facts),
        still_improving(validated, facts),
        more_epochs_than_needed(validated, facts),
        stopped_early(validated, facts),
    ]
    excluded = {name for check in checks if check.holds for name in EXCLUDED.get(check.name, ())}
    return Diagnosis([replace(check, holds=None) if check.name in excluded else check for check in checks])


def diverged(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    losses = [(epoch, name) for epoch in epochs for name in ("train/loss", "val/loss")]
    bad = [f"{name} in epoch {shown(epoch)}" for epoch, name in losses if not math.isfinite(epoch.get(name, 0))]
    worst = max(epochs, key=lambda epoch: epoch.get("train/loss", -math.inf), default={})
    highest, guess = worst.get("train/loss"), facts.loss_of_guess
    is_high = highest is not None and guess is not None and highest > DIVERGED * guess
    if bad:
        measured = f"not a finite number: {bad[0]}"
    elif highest is None:
        measured = "no training loss is recorded"
    else:
        limit = "" if guess is None else f", and {DIVERGED} ln {facts.num_classes} is {DIVERGED * guess:.3g}"
        measured = f"highest training loss {highest:.3g}, in epoch {shown(worst)}{limit}"
    return Check(
        "diverged",
        f"A loss is infinite or not a number, or the training loss of an epoch is above {DIVERGED} times ln K, the "
        "loss of guessing among K classes.",
        measured,
        bool(bad) or is_high if epochs else None,
        f"Divide the learning rate by 10: {facts.rate(0.1)}. If that is not enough, divide it again, or clip gradients "
        "(--model.optimizer.gradient_clip_norm 1.0).",
    )


def no_better_than_guessing(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    train, val = accuracies_kept(epochs, facts)
    is_guess = [is_guessing(val, facts.val_share, facts.num_val_images)]
    if not facts.is_mixed:
        is_guess.append(is_guessing(train, facts.train_share, facts.num_train_images))
    if is_slow_and_steady(epochs, facts):
        meaning = (
            f"Multiply the learning rate by 10: {facts.rate(10)}. The training loss falls steadily, but slowly. If "
            "accuracy does not rise, check that the labels match the images."
        )
    else:
        meaning = (
            f"Try a tenth of the learning rate ({facts.rate(0.1)}), then ten times as much ({facts.rate(10)}). If "
            "neither helps, check that the labels match the images, and that the classes can be told apart "
            "at this image size."
        )
    return Check(
        "no better than guessing",
        f"In the kept epoch, training and validation accuracy are at most {NUM_STANDARD_ERRORS_OF_GUESS} standard "
        "errors above the share of the largest class.",
        f"{compare(train, val, facts)}{shares(facts)}",
        None if None in is_guess else all(is_guess),
        meaning,
    )


def memorised(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    _, val = accuracies_kept(epochs, facts)
    is_guess = is_guessing(val, facts.val_share, facts.num_val_images)
    known = [] if facts.is_mixed else [epoch["train/acc"] for epoch in epochs if "train/acc" in epoch]
    holds, measured = None, compare(None, None, facts)
    if val is not None and is_guess is not None and known:
        chance = NUM_STANDARD_ERRORS_OF_GUESS * standard_error(val, facts.num_val_images)
        holds = is_guess and max(known) - val > max(MEMORISED, chance)
        measured = f"highest training accuracy {percent(max(known))}, validation {percent(val)}{shares(facts)}"
    return Check(
        "memorised",
        f"In the kept epoch, validation accuracy is at most {NUM_STANDARD_ERRORS_OF_GUESS} standard errors above the "
        f"share of the largest class, and training accuracy reaches more than {points(MEMORISED)} and "
        f"{NUM_STANDARD_ERRORS_OF_GUESS} standard errors above validation accuracy in some epoch.",
        measured,
        holds,
        "Check that the labels match the images: the model memorised the training images and does not "
        "generalise. If the labels are right, more images are needed, or a pretrained backbone "
        "(configs/folder_transfer.yaml).",
    )


def unstable(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    late = epochs[len(epochs) // 2 :]
    accuracies = [epoch["val/acc"] for epoch in late]
    drops = [
        before - after
        for before, after in pairwise(accuracies)
        if before - after > max(DROP, NUM_STANDARD_ERRORS * math.sqrt(2) * standard_error(before, facts.num_val_images))
    ]
    rise = rise_of_training_loss(epochs) / (facts.loss_of_guess or math.inf)
    return Check(
        "unstable",
        f"In the second half of the epochs, validation accuracy falls at least {NUM_DROPS} times by more than "
        f"{points(DROP)} from one epoch to the next, and by more than chance explains ({NUM_STANDARD_ERRORS} standard "
        f"errors of the difference). Or the training loss rises by more than {RISE_OF_TRAINING_LOSS} ln K above its "
        "lowest so far.",
        f"{len(drops)} falls of validation accuracy in the last {count_epochs(len(late))}; training loss up to "
        f"{rise:.2g} ln K above its lowest",
        len(drops) >= NUM_DROPS or rise > RISE_OF_TRAINING_LOSS if len(late) > NUM_DROPS else None,
        f"Lower the learning rate, for example to a third: {facts.rate(1 / 3)}. Which epoch is kept is partly chance; "
        "larger batches or averaged weights (--averaging.ema_decay 0.999) help too.",
    )


def underfitted(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    train, val = accuracies_kept(epochs, facts)
    holds = None if train is None or val is None else max(train, val) < LOW_ACCURACY and train - val <= GAP
    if is_slow_and_steady(epochs, facts):
        factor = 10 if loss_left(epochs) > BARELY_FALLEN else 3
        meaning = (
            f"Raise the learning rate, for example to {factor} times as much ({facts.rate(factor)}), or train longer: "
            "the training loss fell slowly and steadily. If that does not help, take a larger network or less "
            "augmentation."
        )
    else:
        meaning = (
            "Take a larger network, a pretrained backbone, or less augmentation and dropout. The training images "
            "themselves are not learned; contradictory labels have the same effect."
        )
    return Check(
        "underfitted",
        f"In the kept epoch, training and validation accuracy are both below {percent(LOW_ACCURACY)}, and at most "
        f"{points(GAP)} apart.",
        compare(train, val, facts),
        holds,
        meaning,
    )


def overfitted(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    train, val = accuracies_kept(epochs, facts)
    chance = 0.0 if val is None else NUM_STANDARD_ERRORS * standard_error(val, facts.num_val_images)
    is_wide = train is not None and val is not None and train - val > max(GAP, chance)
    rise, is_worse = rise_of_loss(epochs)
    return Check(
        "overfitted",
        f"In the kept epoch, training accuracy is more than {points(GAP)} and {NUM_STANDARD_ERRORS} standard errors "
        f"above validation accuracy. Or the validation loss ends {percent(RISE)} or more above its lowest, while the "
        "training loss fell and validation accuracy did not rise.",
        f"{compare(train, val, facts)}; validation loss ends {percent(rise)} above its lowest",
        is_wide or (rise >= RISE and is_worse) if len(epochs) > 1 else None,
        "More images, stronger augmentation, --model.optimizer.weight_decay, --model.dropout or fewer epochs help. The "
        "model fits its training images better than others. The kept weights are those of the best validation epoch, "
        "not of the last epoch.",
    )


def still_improving(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    is_over = facts.is_annealed and bool(epochs) and epochs[-1]["epoch"] + 1 >= facts.max_epochs
    losses = [epoch["val/loss"] for epoch in epochs]
    is_best_last = len(losses) > 1 and losses[-1] == min(losses)
    fall = 1 - losses[-1] / losses[-2] if len(losses) > 1 and losses[-2] > 0 else 0.0
    change = f"{percent(abs(fall))} {'lower' if fall >= 0 else 'higher'} than in the one before"
    return Check(
        "still improving",
        f"The validation loss is lowest in the last epoch, and fell by {percent(FALL)} or more in it. Not judged if "
        "the schedule lowered the learning rate to 0, because the loss always falls then.",
        f"validation loss of the last epoch: {change}" if len(losses) > 1 else "only one epoch is validated",
        is_best_last and fall >= FALL if len(losses) > 1 and not is_over else None,
        "Train longer: a new training with a higher --trainer.max_epochs. The schedule of the learning rate then "
        "extends over all of its epochs.",
    )


def more_epochs_than_needed(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    kept = kept_epoch(epochs, facts.monitor)
    num = int(epochs[-1]["epoch"]) + 1 if epochs else 0
    idle = num - 1 - int(kept["epoch"]) if kept else 0
    patience = max(NUM_IDLE, longest_wait(epochs, facts.monitor) + 1)
    return Check(
        "more epochs than needed",
        f"At least {percent(IDLE)} of the epochs, and at least {NUM_IDLE}, come after the kept one, and early stopping "
        "is off.",
        f"{count_epochs(idle)} of {num} after the kept one",
        idle >= max(patience, IDLE * num) and facts.patience is None if len(epochs) > NUM_IDLE else None,
        f"Stop early: --early_stopping.patience {patience}, which would have kept the same epoch and saved "
        f"{count_epochs(idle - patience)}.",
    )


def stopped_early(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Check:
    num = int(epochs[-1]["epoch"]) + 1 if epochs else 0
    kept = kept_epoch(epochs, facts.monitor)
    waited = num - 1 - int(kept["epoch"]) if kept else 0
    if facts.patience is not None and waited >= facts.patience:
        reason = (
            f"If {facts.monitor} was about to improve, raise --early_stopping.patience, which is {facts.patience}: "
        )
        reason += f"it did not improve for {count_epochs(waited)}."
    elif facts.is_finished:
        reason = "The training was ended by a limit of steps or time or by a callback, not by early stopping."
    else:
        reason = "The run has no test result: it was stopped, it failed, or it is still training."
    return Check(
        "stopped early",
        "Fewer epochs than --trainer.max_epochs.",
        f"{num} of {count_epochs(facts.max_epochs)}"
        if facts.max_epochs > 0
        else f"{count_epochs(num)}, without a limit",
        num < facts.max_epochs if facts.max_epochs > 0 else None,
        reason,
    )


def shares(facts: TrainingFacts) -> str:
    """The share of the largest class, as the end of a sentence."""
    return "" if facts.val_share is None else f"; the largest class is {percent(facts.val_share)}"


def shown(epoch: EpochMetrics) -> str:
    """The number of an epoch, counted from 1."""
    return f"{epoch['epoch'] + 1:.0f}"


def compare(train: float | None, val: float | None, facts: TrainingFacts) -> str:
    if facts.is_mixed:
        return "training accuracy is not meaningful, because training images are mixed"
    if train is None or val is None:
        return "training or validation accuracy is missing"
    return f"training {percent(train)}, validation {percent(val)}"


def percent(share: float) -> str:
    return f"{100 * share:.3g}\N{NO-BREAK SPACE}%"


def points(share: float) -> str:
    return f"{100 * share:.3g} points"


def count_epochs(number: int) -> str:
    return "1 epoch" if number == 1 else f"{number} epochs"
