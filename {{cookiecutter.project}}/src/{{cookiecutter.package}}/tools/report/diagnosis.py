"""Diagnosis of a training: nine rules about its learning curves and facts of the run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from statistics import mean

from ...engine.metrics_table import EpochMetrics, best_epoch
from ..pages.rendering import count

DIVERGED = 1.25  # training loss, in units of ln K: the loss of a guess
RECOVERED = 0.5  # training loss at the end, in these units, of a training that has learnt although it began with a jump
UNSTABLE = 0.2  # rise of the training loss above its lowest value so far, in units of ln K
DROP = 0.05  # of validation accuracy, from one epoch to the next
NUM_DROPS = 2  # a single drop may be caused by unfreezing the backbone
LOW_ACCURACY = 0.9  # a model whose training accuracy is lower has not learned the training images
GAP = 0.05  # difference between training and validation accuracy
MEMORISED = 0.2  # the same, if validation accuracy is no better than guessing
RISE = 0.1  # of the validation loss above its lowest value, relative
FALL = 0.05  # of the validation loss in the last epoch, relative
NUM_IDLE = 5  # minimum number of epochs after the kept one
OF_GUESS = 3  # standard errors: an accuracy that is less above the share of the largest class may be a guess
OF_CHANCE = 2  # standard errors: a smaller difference of accuracies may be chance
FITS = ("unstable", "underfitted", "overfitted", "more epochs than needed")


@dataclass(frozen=True)
class TrainingFacts:
    """Facts that the rules need besides the curves. A rule is not judged if a fact that it needs is None."""

    monitor: str  # selects the best epoch
    max_epochs: int  # -1 means no limit
    patience: int | None = None  # of early stopping; None if it is off
    is_annealed: bool = False  # whether the schedule ends with a learning rate of 0 after max_epochs
    is_mixed: bool = False  # whether training images are mixed in pairs, which makes training accuracy meaningless
    num_train_images: int | None = None
    num_val_images: int | None = None  # None if unknown; standard errors are then 0
    train_share: float | None = None  # of the largest class in the training images, as sampled in training
    val_share: float | None = None  # of the largest class in the validation images
    num_classes: int | None = None  # K
    lr: float | None = None  # learning rate of the config, for advice
    is_finished: bool = True  # whether the run has a test result

    def rate(self, factor: float) -> str:
        """Command-line option that sets the learning rate to ``factor`` times the current one."""
        return f"--model.optimizer.lr{'' if self.lr is None else f' {factor * self.lr:.3g}'}"


class Curves:
    """What several rules need. Accuracies are those of the kept epoch, NaN if unknown or not meaningful."""

    def __init__(self, recorded: Sequence[EpochMetrics], facts: TrainingFacts) -> None:
        self.recorded = recorded
        self.epochs = [epoch for epoch in recorded if "val/loss" in epoch]  # only the first rule uses the others
        self.losses = [epoch["train/loss"] for epoch in self.epochs if math.isfinite(epoch.get("train/loss", math.nan))]
        self.guess = math.log(facts.num_classes) if facts.num_classes else None  # ln K, the loss of a guess
        kept = best_epoch(self.epochs, facts.monitor) or {}
        self.num_epochs = int(self.epochs[-1]["epoch"]) + 1 if self.epochs else 0
        self.num_idle = self.num_epochs - 1 - int(kept["epoch"]) if kept else 0
        self.train_acc = math.nan if facts.is_mixed else kept.get("train/acc", math.nan)
        self.val_acc = kept.get("val/acc", math.nan)
        self.is_val_guess = is_guess(self.val_acc, facts.val_share, facts.num_val_images)
        self.is_known = not math.isnan(self.train_acc - self.val_acc)
        if self.is_known:
            self.accuracies = f"training {percent(self.train_acc)}, validation {percent(self.val_acc)}"
        elif facts.is_mixed:
            self.accuracies = "training accuracy is not meaningful, because training images are mixed"
        else:
            self.accuracies = "training or validation accuracy is missing"
        self.largest = "" if facts.val_share is None else f"; the largest class is {percent(facts.val_share)}"

    def is_slow(self) -> bool:
        """Whether the training loss fell slowly and steadily, which suggests that the learning rate is too low."""
        if len(self.losses) < 3:
            return False
        unit, middle = self.guess or 1.0, len(self.losses) // 2
        is_falling = mean(self.losses[:middle]) - mean(self.losses[middle:]) >= 0.01 * unit
        is_steady = max(after - before for before, after in pairwise(self.losses)) <= 0.02 * unit
        return is_falling and is_steady and self.losses[-1] >= 0.5 * self.losses[0]


def is_guess(accuracy: float, largest: float | None, num_images: int | None) -> bool | None:
    """Whether the accuracy is not significantly above ``largest``, that of always predicting the largest class."""
    if math.isnan(accuracy) or largest is None or num_images is None:
        return None
    return accuracy <= largest + OF_GUESS * standard_error(largest, num_images)


def standard_error(accuracy: float, num_images: int | None) -> float:
    """Standard error of an accuracy on ``num_images`` images; 0 if their number is not known."""
    return math.sqrt(accuracy * (1 - accuracy) / num_images) if num_images else 0.0


@dataclass(frozen=True)
class Check:
    """A rule and its result."""

    name: str  # of the problem
    rule: str  # with its thresholds
    measured: str
    holds: bool | None  # None if it cannot be judged
    meaning: str  # what to do, in the first sentence; then the reason or alternatives
    excludes: Sequence[str] = ()  # rules that are not judged if this one holds: their results would be misleading


@dataclass(frozen=True)
class Diagnosis:
    """Results of all rules, in order; the name lists those that hold, or is ``fine``."""

    checks: list[Check]

    @property
    def findings(self) -> list[Check]:
        return [check for check in self.checks if check.holds]

    @property
    def name(self) -> str:
        if all(check.holds is None for check in self.checks):
            return "too few epochs to say"
        return ", ".join(check.name for check in self.findings) or "fine"

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


def diverged(curves: Curves, facts: TrainingFacts) -> Check:
    losses = [(name, epoch) for epoch in curves.recorded for name in ("train/loss", "val/loss") if name in epoch]
    infinite = [f"{name} in epoch {epoch['epoch'] + 1:.0f}" for name, epoch in losses if not math.isfinite(epoch[name])]
    trained = [epoch for name, epoch in losses if name == "train/loss"]
    holds, measured = None if not losses else bool(infinite), "no training loss is recorded"
    other_cause = " If no rate gives a finite loss, check mean and std of the data set, and a loss of your own."
    if infinite:
        measured = f"not a finite number: {infinite[0]}"
    elif trained:
        worst = max(trained, key=lambda epoch: epoch["train/loss"])
        measured = f"highest training loss {worst['train/loss']:.3g}, in epoch {worst['epoch'] + 1:.0f}"
        if curves.guess is not None:
            has_recovered = trained[-1]["train/loss"] < RECOVERED * curves.guess
            holds = worst["train/loss"] > DIVERGED * curves.guess and not has_recovered
            measured += f", and {DIVERGED} ln {facts.num_classes} is {DIVERGED * curves.guess:.3g}"
            measured += f"; {trained[-1]['train/loss']:.3g} in the last epoch"
    return Check(
        "diverged",
        f"A loss is infinite or not a number, or the training loss of an epoch is above {DIVERGED} times ln K, the "
        f"loss of guessing among K classes, and that of the last epoch is not below {RECOVERED} ln K.",
        measured,
        holds,
        f"Divide the learning rate by 10: {facts.rate(0.1)}. If that is not enough, divide it again, or clip "
        "gradients (--model.optimizer.gradient_clip_norm 1.0)."
        + (other_cause if infinite and len(trained) == 1 else ""),
        excludes=("no better than guessing", "memorised", *FITS, "still improving", "stopped early"),
    )


def guessing(curves: Curves, facts: TrainingFacts) -> Check:
    is_train_guess = facts.is_mixed or is_guess(curves.train_acc, facts.train_share, facts.num_train_images)
    return Check(
        "no better than guessing",
        f"In the kept epoch, training and validation accuracy are at most {OF_GUESS} standard errors above the "
        "share of the largest class.",
        curves.accuracies + curves.largest,
        None if None in (curves.is_val_guess, is_train_guess) else curves.is_val_guess and is_train_guess,
        f"Multiply the learning rate by 10: {facts.rate(10)}. The training loss falls steadily, but slowly. If "
        "accuracy does not rise, check that the labels match the images."
        if curves.is_slow()
        else f"Try a tenth of the learning rate ({facts.rate(0.1)}), then ten times as much ({facts.rate(10)}). If "
        "neither helps, check the labels, and whether the classes can be told apart at this image size.",
        excludes=FITS,
    )


def memorised(curves: Curves, facts: TrainingFacts) -> Check:
    holds, measured = None, curves.accuracies
    if curves.is_known:
        peak = max(epoch.get("train/acc", 0.0) for epoch in curves.epochs)
        measured = f"highest training accuracy {percent(peak)}, validation {percent(curves.val_acc)}{curves.largest}"
        chance = OF_GUESS * standard_error(curves.val_acc, facts.num_val_images)
        holds = curves.is_val_guess and peak - curves.val_acc > max(MEMORISED, chance)
    return Check(
        "memorised",
        "In the kept epoch, validation accuracy is no better than guessing, and training accuracy is more than "
        f"{100 * MEMORISED:g} points and {OF_GUESS} standard errors above it in some epoch.",
        measured,
        holds,
        "Check that the labels match the images: the model memorised the training images and does not generalise. "
        "If the labels are right, more images are needed, or a pretrained backbone (configs/folder_transfer.yaml).",
        excludes=("no better than guessing", *FITS),
    )


def unstable(curves: Curves, facts: TrainingFacts) -> Check:
    accuracies = [epoch.get("val/acc", math.nan) for epoch in curves.epochs[len(curves.epochs) // 2 :]]
    num_errors, num_images = OF_CHANCE * math.sqrt(2), facts.num_val_images
    falls = (old - new > max(DROP, num_errors * standard_error(old, num_images)) for old, new in pairwise(accuracies))
    rises = (loss - lowest for loss, lowest in zip(curves.losses, accumulate(curves.losses, min), strict=True))
    num_late, num_falls, rise = len(accuracies), sum(falls), max(rises, default=0.0) / (curves.guess or math.inf)
    return Check(
        "unstable",
        f"In the second half of the epochs, validation accuracy falls at least {NUM_DROPS} times by more than "
        f"{100 * DROP:g} points from one epoch to the next, and by more than chance explains ({OF_CHANCE} standard "
        f"errors of the difference). Or the training loss rises more than {UNSTABLE} ln K above its lowest so far.",
        f"{num_falls} falls of validation accuracy in the last {count(num_late, 'epoch')}; training loss up to "
        f"{rise:.2g} ln K above its lowest",
        num_falls >= NUM_DROPS or rise > UNSTABLE if num_late > NUM_DROPS else None,
        f"Lower the learning rate, for example to a third: {facts.rate(1 / 3)}. Which epoch is kept is partly "
        "chance; larger batches or averaged weights (--averaging.ema_decay 0.999) help too.",
        excludes=("more epochs than needed",),
    )


def underfitted(curves: Curves, facts: TrainingFacts) -> Check:
    train, val, is_slow = curves.train_acc, curves.val_acc, curves.is_slow()
    factor = 10 if is_slow and curves.losses[-1] > 0.9 * curves.losses[0] else 3
    return Check(
        "underfitted",
        f"In the kept epoch, training and validation accuracy are both below {percent(LOW_ACCURACY)}, and at most "
        f"{100 * GAP:g} points apart.",
        curves.accuracies,
        max(train, val) < LOW_ACCURACY and train - val <= GAP if curves.is_known else None,
        f"Raise the learning rate, for example to {factor} times as much ({facts.rate(factor)}), or train longer: "
        "the training loss fell slowly and steadily. If neither helps, take a larger network or less augmentation."
        if is_slow
        else "Take a larger network, a pretrained backbone, or less augmentation and dropout. The training images "
        "themselves are not learned; contradictory labels have the same effect.",
    )


def overfitted(curves: Curves, facts: TrainingFacts) -> Check:
    chance = OF_CHANCE * standard_error(curves.val_acc, facts.num_val_images)
    has_gap = curves.is_known and curves.train_acc - curves.val_acc > max(GAP, chance)
    rise, is_worse = 0.0, False  # of the validation loss, from its lowest value to the last epoch
    lowest = best_epoch(curves.epochs, "val/loss")
    if lowest is not None and lowest["val/loss"] > 0:
        last = curves.epochs[-1]
        rise = last["val/loss"] / lowest["val/loss"] - 1
        fell = last.get("train/loss", math.inf) < lowest.get("train/loss", -math.inf)
        # If accuracy rose since then, the model makes fewer mistakes, but with higher confidence.
        is_worse = rise >= RISE and fell and last.get("val/acc", 0.0) <= lowest.get("val/acc", 0.0)
    return Check(
        "overfitted",
        f"In the kept epoch, training accuracy is more than {100 * GAP:g} points and {OF_CHANCE} standard errors "
        f"above validation accuracy. Or the validation loss ends {percent(RISE)} or more above its lowest, while "
        "the training loss fell and validation accuracy did not rise.",
        f"{curves.accuracies}; validation loss ends {percent(rise)} above its lowest",
        has_gap or is_worse if len(curves.epochs) > 1 else None,
        "More images, stronger augmentation, --model.optimizer.weight_decay, --model.dropout or fewer epochs help. "
        "The model fits its training images better than others. The best validation epoch is kept, not the last.",
    )


def still_improving(curves: Curves, facts: TrainingFacts) -> Check:
    holds, measured = None, "only one epoch is validated"
    if len(curves.epochs) > 1:
        losses = [epoch["val/loss"] for epoch in curves.epochs]
        fall = 1 - losses[-1] / losses[-2] if losses[-2] > 0 else 0.0
        change = f"{percent(abs(fall))} {'lower' if fall >= 0 else 'higher'} than in the one before"
        measured = f"validation loss of the last epoch: {change}"
        if not (facts.is_annealed and curves.num_epochs >= facts.max_epochs):
            holds = losses[-1] == min(losses) and fall >= FALL
    return Check(
        "still improving",
        f"The validation loss is lowest in the last epoch, and fell by {percent(FALL)} or more in it. Not judged "
        "if the schedule lowered the learning rate to 0, because the loss always falls then.",
        measured,
        holds,
        "Train longer: a new training with a higher --trainer.max_epochs. The schedule of the learning rate then "
        "extends over all of its epochs.",
    )


def idle(curves: Curves, facts: TrainingFacts) -> Check:
    improved: list[EpochMetrics] = []
    for epoch in curves.epochs:
        if best_epoch([*improved[-1:], epoch], facts.monitor) is epoch:
            improved.append(epoch)
    waits = [int(after["epoch"] - before["epoch"]) for before, after in pairwise(improved)]
    patience = max(NUM_IDLE, 1 + max(waits, default=0))  # with which early stopping would keep the same epoch
    num, is_idle = curves.num_idle, curves.num_idle >= max(patience, curves.num_epochs / 2)
    return Check(
        "more epochs than needed",
        f"At least half of the epochs, and at least {NUM_IDLE}, come after the kept one; early stopping is off.",
        f"{count(num, 'epoch')} of {curves.num_epochs} after the kept one",
        is_idle and facts.patience is None if len(curves.epochs) > NUM_IDLE else None,
        f"Stop early: --early_stopping.patience {patience}, which would have kept the same epoch and saved "
        f"{count(num - patience, 'epoch')}.",
    )


def stopped_early(curves: Curves, facts: TrainingFacts) -> Check:
    num, limit = curves.num_epochs, facts.max_epochs
    return Check(
        "stopped early",
        "Fewer epochs than --trainer.max_epochs.",
        f"{num} of {count(limit, 'epoch')}" if limit > 0 else f"{count(num, 'epoch')}, without a limit",
        num < limit if limit > 0 else None,
        f"If {facts.monitor} was about to improve, raise --early_stopping.patience, which is {facts.patience}: it "
        f"did not improve for {count(curves.num_idle, 'epoch')}."
        if facts.patience is not None and curves.num_idle >= facts.patience
        else "The training was ended by a limit of steps or time or by a callback, not by early stopping."
        if facts.is_finished
        else "The run has no test result: it was stopped, it failed, or it is still training.",
    )


RULES = (diverged, guessing, memorised, unstable, underfitted, overfitted, still_improving, idle, stopped_early)


def diagnose(epochs: Sequence[EpochMetrics], facts: TrainingFacts) -> Diagnosis:
    curves = Curves(epochs, facts)
    checks = [rule(curves, facts) for rule in RULES]
    excluded = {name for check in checks if check.holds for name in check.excludes}
    return Diagnosis([replace(check, holds=None) if check.name in excluded else check for check in checks])


def percent(share: float) -> str:
    return f"{100 * share:.3g}\N{NO-BREAK SPACE}%"
