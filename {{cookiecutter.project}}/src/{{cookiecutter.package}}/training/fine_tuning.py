"""Staged fine-tuning: what is frozen is a function of the epoch, and of nothing else."""

from __future__ import annotations

import logging

from lightning.pytorch import Callback, LightningModule, Trainer

from ..models import ImageClassifier

log = logging.getLogger(__name__)


class StagedFineTuning(Callback):
    """Asks the classifier what is frozen in this epoch, and freezes exactly that.

    It keeps no state. A resumed run therefore cannot disagree with an uninterrupted one, and as every parameter is in
    the optimizer from the first step, neither optimizer state nor schedule notices a stage. (Lightning's
    BackboneFinetuning adds parameter groups on the way: its issues 12141, 20340, 21531 and 21901.)
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
            log.info(
                "from epoch %d: training %s of %s parameters",
                trainer.current_epoch + 1,
                f"{after:,}",
                f"{count(pl_module):,}",
            )


def count(module: LightningModule) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def count_trainable(module: LightningModule) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
