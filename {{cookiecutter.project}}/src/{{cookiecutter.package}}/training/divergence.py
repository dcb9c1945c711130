"""A training whose loss is no longer a number ends there: no later epoch could mend it."""

from __future__ import annotations

import sys

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

LOSSES = {"train/loss": "training loss", "val/loss": "validation loss"}


class DivergedError(Exception):
    """A loss of the training is infinite or not a number; the message says which, and after which epoch."""


class StopWhenDiverged(EarlyStopping):
    """Ends the training after an epoch whose loss is infinite or not a number, and never for lack of improvement.

    Losses are those of all processes together, so that all processes decide alike.

    Args:
        loss: name of the metric to watch.
    """

    def __init__(self, loss: str) -> None:
        # Not strict: there may be no validation in an epoch, or none at all.
        super().__init__(loss, patience=sys.maxsize, strict=False, check_finite=True, check_on_train_epoch_end=True)

    @property
    def is_diverged(self) -> bool:
        return self.stopping_reason is EarlyStoppingReason.NON_FINITE_METRIC


def reason_of_divergence(trainer: Trainer) -> str | None:
    """Which loss is no number, and after which epoch, counted from 1; None where the training has not diverged."""
    for callback in trainer.early_stopping_callbacks:
        if isinstance(callback, StopWhenDiverged) and callback.is_diverged:
            value = trainer.callback_metrics[callback.monitor].item()
            return f"the {LOSSES[callback.monitor]} is {value} in epoch {callback.stopped_epoch + 1}"
    return None


def require_finite_losses(trainer: Trainer) -> None:
    """Check a training that is over.

    Raises:
        DivergedError: a loss was infinite or not a number.
    """
    if (reason := reason_of_divergence(trainer)) is not None:
        raise DivergedError(reason)
