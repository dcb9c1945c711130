"""Helpers for trainings on several processes: gathering rows, and batch norm over all processes."""

from __future__ import annotations

import logging
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator
from torch import Tensor

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
    """Switch off ``trainer.sync_batchnorm`` without GPUs, where it would fail in the first step.

    Args:
        trainer: settings of the trainer section, which are modified.
    """
    accelerator = trainer.accelerator
    is_cpu = isinstance(accelerator, CPUAccelerator) or accelerator == "cpu"
    is_cpu = is_cpu or (accelerator == "auto" and not CUDAAccelerator.is_available())
    if trainer.sync_batchnorm and is_cpu:
        trainer.sync_batchnorm = False
        log.info(
            "trainer.sync_batchnorm is switched off, because it needs GPUs: batch norm uses the data.batch_size images "
            "of each process separately."
        )
