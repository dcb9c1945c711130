"""A training ends with its best weights, not its last ones."""

from __future__ import annotations

import logging

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

log = logging.getLogger(__name__)


class RestoreBestWeights(Callback):
    """Loads the best checkpoint into the model when fit ends, as Keras' ``restore_best_weights`` does.

    ``last.ckpt`` is already written by then, and keeps the last weights, from which a training goes on.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        checkpointing = trainer.checkpoint_callback
        if not isinstance(checkpointing, ModelCheckpoint) or not checkpointing.best_model_path:
            return  # fast_dev_run writes no checkpoint
        checkpoint = torch.load(checkpointing.best_model_path, map_location="cpu", weights_only=True)
        pl_module.load_state_dict(checkpoint["state_dict"])
        log.info("restored the best weights, of epoch %d", checkpoint["epoch"] + 1)
