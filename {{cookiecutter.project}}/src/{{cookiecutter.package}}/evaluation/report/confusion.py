"""The confusion matrix: as a table that shows its names while they fit, else as its worst pairs and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...pages.rendering import data_url

MAX_CLASSES = 25  # of a table
MAX_PAIRS = 20
FAINTEST = 0.08  # of a cell that holds one image among thousands
DARKEST = 0.55  # of one that holds them all, so that text on it is read in light and dark
BLUE = (47, 111, 191)


@dataclass(frozen=True)
class Cell:
    """``num_images`` of one true class taken for one class; ``shade`` in 0 to 1 is how deep its colour is."""

    num_images: int
    shade: float
    is_right: bool


@dataclass(frozen=True)
class Pair:
    """A mistake that is made often: ``share`` is that of the images of the true class."""

    true_class: str
    predicted_class: str
    num_images: int
    share: float


def shares_of_rows(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row of (K, K) divided by its sum; a row without images stays 0."""
    sums = counts.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = counts / np.maximum(sums, 1)
    return shares


def table(counts: NDArray[np.int64]) -> list[list[Cell]]:
    """Cells of (K, K) counts, rows are true classes."""
    shares = shares_of_rows(counts)
    return [
        [
            Cell(int(count), shade(float(shares[true, predicted])), true == predicted)
            for predicted, count in enumerate(row)
        ]
        for true, row in enumerate(counts)
    ]


def shade(share: float) -> float:
    """Of a cell: the root lifts rare mistakes into sight."""
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
    """A data URL of a picture with one pixel a cell, the more opaque the larger its share of the row."""
    opacity = np.sqrt(shares_of_rows(counts))
    pixels = np.empty((*counts.shape, 4), dtype=np.uint8)
    pixels[..., :3] = BLUE
    pixels[..., 3] = np.rint(255 * opacity)
    return data_url(Image.fromarray(pixels), "PNG")
