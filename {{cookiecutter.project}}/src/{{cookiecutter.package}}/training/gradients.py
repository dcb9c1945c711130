"""Histograms of the gradients for W&B, on request."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from .wandb_logger import WandbLogger

NUM_BINS = 64


class WatchGradients(Callback):
    """Measures gradients every ``trainer.log_every_n_steps`` steps; the last ones of an epoch are logged with it.

    W&B's own ``run.watch`` calls W&B within the backward pass, where an error in W&B ends the training.

    Args:
        logger: receives the histograms.
    """

    def __init__(self, logger: WandbLogger) -> None:
        self.logger = logger

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if self.logger.is_alive and trainer.is_global_zero and trainer.global_step % every == 0:
            for name, parameter in pl_module.named_parameters():
                if parameter.grad is not None and bool(parameter.grad.isfinite().all()):
                    self.logger.histograms[f"gradients/{name}"] = histogram(parameter.grad)


def histogram(values: torch.Tensor) -> Any:
    """A W&B histogram of a tensor of any shape."""
    import wandb

    counts, edges = torch.histogram(values.detach().float().cpu().flatten(), NUM_BINS)
    return wandb.Histogram(np_histogram=(counts.long().numpy(), edges.numpy()))
