"""Trainings on several processes: gathering rows, and the settings of DDP and batch norm."""

import atexit
import inspect
import logging
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from .contracts import Classifier
from .private import ddp_options

log = logging.getLogger(__name__)


def gather_in_order(share: Tensor, trainer: Trainer) -> Tensor:
    """Gather the rows of a split from W processes: process r has rows r, r + W, r + 2 W, ..."""
    if trainer.world_size == 1:
        return share
    shares: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(shares, share)
    rows = share.new_empty(sum(map(len, shares)), *share.shape[1:])
    for rank, part in enumerate(shares):
        rows[rank :: trainer.world_size] = part
    return rows


def switch_off_sync_batchnorm(trainer: Any) -> None:
    """Switch off ``sync_batchnorm`` in a config's trainer section without GPUs, where the first step would fail."""
    accelerator = trainer.accelerator
    is_cpu = isinstance(accelerator, CPUAccelerator) or accelerator == "cpu"
    is_cpu = is_cpu or (accelerator == "auto" and not CUDAAccelerator.is_available())
    if trainer.sync_batchnorm and is_cpu:
        trainer.sync_batchnorm = False
        log.info(
            "trainer.sync_batchnorm is switched off, because it needs GPUs: batch norm uses the data.batch_size images "
            "of each process separately."
        )


def leave_process_group() -> None:
    """Stop gloo's threads before the process ends, which they can abort otherwise; Lightning does so for NCCL only."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


class PrepareDDP(Callback):
    """Lets DDP accept frozen parameters, and copies buffers only before each validation and at the end.

    DDP copies the buffers of rank zero to all processes at each step, which then waits for the slowest process: 5 to
    8 % of the time of ``fashion_cnn`` on two CPU processes. Training does not read them, as it normalises by the batch.
    This callback must come after the averaging of weights, whose buffers are those that are validated.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if isinstance(trainer.strategy, DDPStrategy):  # `auto` becomes DDP on several devices
            options, known = ddp_options(trainer.strategy), inspect.signature(DistributedDataParallel).parameters
            # The second was its name until torch 2.14.
            sync = next(name for name in ("forward_sync_buffers", "broadcast_buffers") if name in known)
            options.setdefault(sync, False)
            if stage == "fit":  # the first of several stages
                atexit.register(leave_process_group)
            if isinstance(pl_module, Classifier) and pl_module.frozen_modules(epoch=0):
                options["find_unused_parameters"] = True

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if isinstance(trainer.strategy, DDPStrategy) and trainer.world_size > 1:
            for buffer in pl_module.buffers():
                distributed.broadcast(buffer, src=0)

    on_train_end = on_validation_epoch_start
