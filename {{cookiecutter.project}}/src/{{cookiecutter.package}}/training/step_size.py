"""Logs batch size, learning rate and number of steps before the first step, and refuses unusable batch sizes."""

from __future__ import annotations

import logging
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from ..errors import UserError
from ..models import ImageClassifier

log = logging.getLogger(__name__)


class SayStepSize(Callback):
    """Logs the size of a step: more processes mean larger and fewer steps, which can make the result worse."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ImageClassifier)
        require_batches_for_batch_norm(trainer, pl_module)
        log.info("%s", step_size(trainer, pl_module))


def step_size(trainer: Trainer, model: ImageClassifier) -> str:
    """Images per step over all processes, learning rate and number of steps, as one line."""
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
    length = f"{num_steps:,} steps in {trainer.max_epochs} epochs" if is_finite else "no limit of steps"
    return f"{images:,} images per step{product}, learning rate {settings.lr:g}{scaled}, {length}"


def require_batches_for_batch_norm(trainer: Trainer, model: ImageClassifier) -> None:
    """Refuse batches of one image if batch norm would get a single value per channel, which has no variance.

    Raises:
        UserError: batch norm would fail.
    """
    loader: Any = trainer.train_dataloader
    if loader.batch_sampler.smallest > 1 or not has_norm_of_one_value(model, (trainer.max_epochs or 1) - 1):
        return
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    few = "" if data.batch_size == 1 else f", and each of {trainer.world_size} processes has 1 training image"
    raise UserError(
        f"data.batch_size is {data.batch_size}{few}: batch norm in this model cannot be trained on batches of 1 image. "
        "Give --data.batch_size 2 or more (32, for example) and at least 2 images for each process, or use a model "
        "without batch norm (--model MLPClassifier --model.batch_norm false)."
    )


@torch.no_grad()
def has_norm_of_one_value(model: ImageClassifier, last_epoch: int) -> bool:
    """Whether a trained batch norm layer gets one value per channel from a batch of one image."""
    frozen = {id(module) for part in model.frozen_modules(last_epoch) for module in part.modules()}
    found: list[bool] = []

    def look(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        found.append(inputs[0].numel() == inputs[0].shape[1])

    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)  # SyncBatchNorm normalises over all processes
    layers = [layer for layer in model.modules() if isinstance(layer, kinds) and id(layer) not in frozen]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    side = model.facts.image_size
    model.eval()
    model(torch.zeros(1, model.facts.num_channels, side, side, device=model.device))
    model.train()
    for hook in hooks:
        hook.remove()
    return any(found)
