"""The confusion matrix: a table for few classes, otherwise a list of the most confused pairs and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...pages.rendering import data_url

MAX_CLASSES = 25  # of a table; with more, a picture is shown
MAX_PAIRS = 20
FAINTEST = 0.08  # lowest opacity of a cell that is not 0
DARKEST = 0.55  # opacity of a cell with all images of its row; text on it is readable in light and dark mode
BLUE = (47, 111, 191)


@dataclass(frozen=True)
class Cell:
    """Number of images with a true and a predicted class; ``shade`` is the opacity of the cell's colour, 0 to 1."""

    num_images: int
    shade: float
    is_right: bool


@dataclass(frozen=True)
class Pair:
    """A frequent mistake: ``share`` is the share of the images of the true class."""

    true_class: str
    predicted_class: str
    num_images: int
    share: float


def shares_of_rows(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row of the (K, K) counts divided by its sum; rows without images are 0."""
    sums = counts.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = counts / np.maximum(sums, 1)
    return shares


def table(counts: NDArray[np.int64]) -> list[list[Cell]]:
    """Cells of the (K, K) counts; rows are true classes."""
    shares = shares_of_rows(counts)
    return [
        [
            Cell(int(count), shade(float(shares[true, predicted])), true == predicted)
            for predicted, count in enumerate(row)
        ]
        for true, row in enumerate(counts)
    ]


def shade(share: float) -> float:
    """Opacity of a cell; the square root makes rare mistakes visible."""
    return round(max(DARKEST * math.sqrt(share), FAINTEST), 3) if share else 0.0


def most_confused(counts: NDArray[np.int64], class_names: Sequence[str]) -> list[Pair]:
    """The most frequent mistakes, the most frequent first."""
    shares = shares_of_rows(counts)
    mistakes = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:MAX_PAIRS]
    positions = [divmod(int(index), len(counts)) for index in order]
    return [
        Pair(class_names[true], class_names[predicted], int(counts[true, predicted]), float(shares[true, predicted]))
        for true, predicted in positions
        if mistakes[true, predicted]
    ]


def heat_map(counts: NDArray[np.int64]) -> str:
    """Data URL of a picture with one pixel per cell; its opacity increases with the cell's share of the row."""
    opacity = np.sqrt(shares_of_rows(counts))
    pixels = np.empty((*counts.shape, 4), dtype=np.uint8)
    pixels[..., :3] = BLUE
    pixels[..., 3] = np.rint(255 * opacity)
    return data_url(Image.fromarray(pixels), "PNG")
