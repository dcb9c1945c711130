"""The first layer of every model, which scales, resizes and normalises images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Preprocess(nn.Module):
    """Maps (N, C, H, W) pixels in 0 to 255, uint8 or float, to normalised floats.

    Mean and std are part of the state, so that a checkpoint contains the preprocessing of its training.

    Args:
        mean: mean of each channel, of pixels scaled to [0, 1]; with three values, grey images become RGB.
        std: standard deviation of each channel, of pixels scaled to [0, 1].
        input_size: side to resize to, in pixels; None keeps the size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], input_size: int | None = None) -> None:
        super().__init__()
        self.input_size = input_size
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in 0 to 255 to float (N, len(mean), S, S)."""
        pixels = images.to(self.mean.dtype)
        if self.input_size is not None and pixels.shape[-1] != self.input_size:
            size = (self.input_size, self.input_size)
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        return (pixels - self.mean) / self.std
