"""The least that an evaluation can cost: the model over all images, batch by batch, and nothing else."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.inference_mode()
def forward_pass(model: nn.Module, images: Tensor, batch_size: int, device: torch.device) -> Tensor:
    """Map uint8 images (N, C, H, W) to logits (N, K)."""
    model.eval()
    return torch.cat([model(batch.to(device)) for batch in images.split(batch_size)])
