"""One line before the first step: images a step, learning rate, number of steps."""

from __future__ import annotations

import logging

from lightning.pytorch import Callback, LightningModule, Trainer

from ..models import ImageClassifier

log = logging.getLogger(__name__)


class SayStepSize(Callback):
    """Logs the size of a step: more processes mean larger and fewer steps, which can make the result worse."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        log.info("%s", step_size(trainer, pl_module))


def step_size(trainer: Trainer, model: ImageClassifier) -> str:
    """Images of a step over all processes, learning rate, and steps of the training, as one line."""
    images, given = model.global_batch_size, model.optimizer_settings
    num_processes, accumulated = trainer.world_size, trainer.accumulate_grad_batches
    factors = [str(images // num_processes // accumulated)]
    factors += [f"{num_processes} processes"] if num_processes > 1 else []
    factors += [f"{accumulated} accumulated"] if accumulated > 1 else []
    product = f" ({' x '.join(factors)})" if len(factors) > 1 else ""
    settings = given.for_batch(images)
    scaled = "" if settings is given else f" ({given.lr:g} for {given.lr_for_batch_size})"
    num_steps = trainer.estimated_stepping_batches
    is_finite = num_steps < float("inf")
    length = f"{num_steps:,} steps in {trainer.max_epochs} epochs" if is_finite else "until it is stopped"
    return f"{images:,} images a step{product}, learning rate {settings.lr:g}{scaled}, {length}"
