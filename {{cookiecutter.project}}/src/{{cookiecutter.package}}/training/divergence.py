"""Stops a training whose loss is infinite or NaN."""

from __future__ import annotations

import sys

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

LOSSES = {"train/loss": "training loss", "val/loss": "validation loss"}


class DivergedError(Exception):
    """A loss of the training is infinite or NaN; the message names the loss and the epoch."""


class StopWhenDiverged(EarlyStopping):
    """Stops the training after an epoch whose loss is infinite or NaN; never stops for other reasons.

    The loss is averaged over all processes, so that all processes make the same decision.

    Args:
        loss: name of the metric to watch.
    """

    def __init__(self, loss: str) -> None:
        # strict=False, because an epoch may have no validation loss.
        super().__init__(loss, patience=sys.maxsize, strict=False, check_finite=True, check_on_train_epoch_end=True)

    @property
    def is_diverged(self) -> bool:
        return self.stopping_reason is EarlyStoppingReason.NON_FINITE_METRIC


def reason_of_divergence(trainer: Trainer) -> str | None:
    """Text that names the infinite or NaN loss and its epoch, counted from 1; None if no loss is infinite or NaN."""
    for callback in trainer.early_stopping_callbacks:
        if isinstance(callback, StopWhenDiverged) and callback.is_diverged:
            value = trainer.callback_metrics[callback.monitor].item()
            return f"the {LOSSES[callback.monitor]} is {value} in epoch {callback.stopped_epoch + 1}"
    return None


def require_finite_losses(trainer: Trainer) -> None:
    """Check that the losses of a finished training are finite.

    Raises:
        DivergedError: a loss is infinite or NaN.
    """
    if (reason := reason_of_divergence(trainer)) is not None:
        raise DivergedError(reason)
