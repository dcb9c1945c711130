"""Staged fine-tuning: which parameters are frozen is a function of the epoch alone."""

from __future__ import annotations

import logging

from lightning.pytorch import Callback, LightningModule, Trainer

from ..models import ImageClassifier

log = logging.getLogger(__name__)


class StagedFineTuning(Callback):
    """Freezes in each epoch the parameters that the classifier names for it.

    It keeps no state, so a resumed run is the same as an uninterrupted one. All parameters are in the optimizer from
    the first step, so a stage changes neither optimizer state nor schedule. (Lightning's BackboneFinetuning adds
    parameter groups during training: its issues 12141, 20340, 21531 and 21901.)
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning does not call on_train_epoch_start when it resumes in the middle of an epoch.
        self._freeze(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._freeze(trainer, pl_module)

    def _freeze(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        before = count_trainable(pl_module)
        pl_module.freeze_for_epoch(trainer.current_epoch)
        after = count_trainable(pl_module)
        if before != after:
            shares = f"{after:,} of {count(pl_module):,}"
            log.info("From epoch %d on, %s parameters are trained.", trainer.current_epoch + 1, shares)


def count(module: LightningModule) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def count_trainable(module: LightningModule) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
