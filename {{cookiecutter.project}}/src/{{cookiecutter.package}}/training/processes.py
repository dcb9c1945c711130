"""What the processes of one training share: the work, and the answer."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor


def gather_in_order(share: Tensor, trainer: Trainer) -> Tensor:
    """All rows of a split from the shares of all processes, of which number r has the rows r, r + W, r + 2 W, ..."""
    if trainer.world_size == 1:
        return share
    shares: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(shares, share)
    rows = share.new_empty(sum(map(len, shares)), *share.shape[1:])
    for rank, part in enumerate(shares):
        rows[rank :: trainer.world_size] = part
    return rows
