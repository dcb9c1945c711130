"""What a data set says about itself before training starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fit = Literal["crop", "pad", "squash"]


@dataclass(frozen=True)
class ImageFacts:
    """Plain facts that the CLI hands from the data set to the model, and that every checkpoint carries.

    Attributes:
        class_names: K names; the position is the label.
        num_channels: 1 (grey) or 3 (RGB).
        image_size: side of the square images, in pixels.
        mean: one value a channel, of pixels scaled to [0, 1].
        std: as ``mean``.
        fit: how a non-square image was made square: the centre of it (``crop``), with black borders (``pad``), or
            distorted (``squash``).
        class_weights: what an image of each class counts in the training loss; None counts all alike.
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
