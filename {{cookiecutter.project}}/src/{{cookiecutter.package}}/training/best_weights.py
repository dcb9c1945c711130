"""Restore the best weights when a training ends."""

from __future__ import annotations

import logging

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from .divergence import reason_of_divergence

log = logging.getLogger(__name__)


class RestoreBestWeights(Callback):
    """Loads the best checkpoint into the model when fit ends, as Keras' ``restore_best_weights`` does.

    ``last.ckpt`` has been written before, and keeps the last weights, which a resumed training needs.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if reason_of_divergence(trainer):
            return  # the training has failed, and nothing is tested
        checkpointing = trainer.checkpoint_callback
        if not isinstance(checkpointing, ModelCheckpoint) or not checkpointing.best_model_path:
            return  # fast_dev_run writes no checkpoint
        checkpoint = torch.load(checkpointing.best_model_path, map_location="cpu", weights_only=True)
        pl_module.load_state_dict(checkpoint["state_dict"])
        log.info("restored the weights of the best epoch, %d", checkpoint["epoch"] + 1)
