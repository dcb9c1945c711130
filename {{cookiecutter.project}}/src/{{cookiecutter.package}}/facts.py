"""Facts about data and metrics that all parts of the project share, as plain types."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Literal

from .errors import UserError

Fit = Literal["crop", "pad", "squash"]
MAX_CLASSES, MAX_IMAGE_SIZE = 1_000_000, 65536


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

    def __post_init__(self) -> None:
        num_classes, weights = len(self.class_names), self.class_weights
        if not 1 <= num_classes <= MAX_CLASSES or not 1 <= self.image_size <= MAX_IMAGE_SIZE:
            raise UserError(
                f"image_size is {self.image_size}, with {num_classes} class_names; it must be 1 to {MAX_IMAGE_SIZE}, "
                f"with 1 to {MAX_CLASSES} classes."
            )
        if "" in self.class_names or len(set(self.class_names)) < num_classes:
            raise UserError("class_names has an empty name, or a name twice; each class must have a name of its own.")
        if self.num_channels not in {1, 3} or not self.num_channels == len(self.mean) == len(self.std):
            raise UserError(
                f"num_channels is {self.num_channels}, with {len(self.mean)} values of mean, {len(self.std)} of std; "
                "it must be 1 or 3, with as many values of each."
            )
        if not all(map(math.isfinite, self.mean)) or not all(0 < value < math.inf for value in self.std):
            raise UserError(f"mean is {self.mean} and std is {self.std}; they must be finite, and std above 0.")
        if weights is not None and not (len(weights) == num_classes and all(0 <= w < math.inf for w in weights)):
            raise UserError(f"class_weights must be one number for each of the {num_classes} classes, 0 or more.")

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def mode_of(metric: str) -> Literal["min", "max"]:
    """Whether low values of a metric are better, as for names that end in ``loss`` or ``error``, or high ones."""
    return "min" if metric.endswith(("loss", "error")) else "max"


def to_plain(value: Any) -> Any:
    """Convert to JSON types: dict, list, str, int, float, bool, None."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{value!r} is a {type(value).__name__}; a hyperparameter must be of a JSON type")
