"""Facts about data and metrics that all parts of the project share, as plain types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Literal, TypeVar

T = TypeVar("T")
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


def from_plain(settings: type[T], value: T | Mapping[str, Any]) -> T:
    """Rebuild a settings dataclass from the dictionary in a checkpoint; an instance is returned unchanged."""
    return settings(**value) if isinstance(value, Mapping) else value
