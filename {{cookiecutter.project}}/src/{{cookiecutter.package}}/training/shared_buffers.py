"""Synchronises the running statistics of batch norm before they are used, not at each step."""

from __future__ import annotations

import inspect

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

# The second was its name until torch 2.14.
OPTIONS = ("forward_sync_buffers", "broadcast_buffers")


class ShareBuffers(Callback):
    """Copies the buffers of rank zero to all processes before each validation and at the end.

    DDP does so at each step, which then waits for the slowest process once more: 5 to 8 % of the time of
    ``fashion_cnn`` on two CPU processes. Training does not read them, as it normalises by the batch. This callback must
    come after the averaging of weights, whose buffers are those that are validated.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if isinstance(trainer.strategy, DDPStrategy):
            known = inspect.signature(DistributedDataParallel).parameters
            option = next(name for name in OPTIONS if name in known)
            trainer.strategy._ddp_kwargs.setdefault(option, False)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        share(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        share(trainer, pl_module)


def share(trainer: Trainer, pl_module: LightningModule) -> None:
    if isinstance(trainer.strategy, DDPStrategy) and trainer.world_size > 1:
        for buffer in pl_module.buffers():
            distributed.broadcast(buffer, src=0)
