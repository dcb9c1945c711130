"""Facts about a data set that are known before training starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fit = Literal["crop", "pad", "squash"]


@dataclass(frozen=True)
class ImageFacts:
    """Facts that the CLI passes from the data set to the model; every checkpoint stores them.

    Attributes:
        class_names: K names; a name's position is its label.
        num_channels: 1 (grey) or 3 (RGB).
        image_size: side of the square images, in pixels.
        mean: mean of each channel, of pixels scaled to [0, 1].
        std: standard deviation of each channel, of pixels scaled to [0, 1].
        fit: how images are made square: cropped to the centre (``crop``), with black borders (``pad``), or
            distorted (``squash``).
        class_weights: weight of each class in the training loss; None weights all classes equally.
    """

    class_names: list[str]
    num_channels: int
    image_size: int
    mean: list[float]
    std: list[float]
    fit: Fit = "crop"
    class_weights: list[float] | None = None

    @property
    def num_classes(self) -> int:
        return len(self.class_names)
