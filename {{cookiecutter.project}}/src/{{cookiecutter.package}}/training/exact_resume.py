"""A resumed training takes the same steps as an uninterrupted one: the same images, the same random numbers."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from ..data.loading import TrainingLoader, mixed_seed, training_seed

STEP = 1  # makes these seeds differ from those of the augmentation


class ExactResume(Callback):
    """Resumes at the batch of the checkpoint, and seeds the random number generators at each step.

    The random numbers of a step, such as those of dropout, are a function of the training's seed, the epoch, the batch
    and the process. The generators are seeded directly, as ``torch.manual_seed`` takes a tenth of a millisecond.
    """

    def __init__(self) -> None:
        self.loader_states: list[dict[str, int]] = []

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.loader_states = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning (2.6) does not if the loader was created (to count the steps) before the checkpoint was read.
        loader = trainer.train_dataloader
        if trainer.fit_loop.restarting and self.loader_states and isinstance(loader, TrainingLoader):
            loader.load_state_dict(self.loader_states[0])

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        seed = mixed_seed(training_seed(), trainer.current_epoch, batch_idx, trainer.global_rank, STEP)
        torch.default_generator.manual_seed(seed)
        if pl_module.device.type != "cpu":
            torch.get_device_module(pl_module.device).manual_seed(seed)
