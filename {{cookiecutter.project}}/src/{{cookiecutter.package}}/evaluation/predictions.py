"""Predictions as a table for spreadsheets: one value per cell."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .outputs import SplitOutputs

FILE_NAME = "predictions.csv"
COLUMNS = ("path", "true_class", "predicted_class", "probability")
TOP_K = 5
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first characters of formulas in spreadsheets


def write_predictions(file: Path, outputs: SplitOutputs, class_names: Sequence[str]) -> None:
    """Write one row per image, in the order of the split, with the most probable classes in descending order.

    Args:
        file: CSV file to write; an existing file is replaced.
        outputs: N images with their names, labels and logits.
        class_names: K names.
    """
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*COLUMNS, *rank_columns(2, min(TOP_K, len(class_names)))])
        for name, label, shares in zip(outputs.names, outputs.labels, outputs.probabilities, strict=True):
            ranked = rank_cells(top_k(shares, class_names))
            writer.writerow([path_cell(name), class_names[label], *ranked])


def top_k(shares: NDArray[np.float32], class_names: Sequence[str], k: int = TOP_K) -> dict[str, float]:
    """The k most probable classes with their probabilities, in descending order.

    Args:
        shares: (K,) probabilities of one image.
        class_names: K names.
        k: number of classes; all if there are fewer.
    """
    order = np.argsort(-shares, kind="stable")[:k]
    return {class_names[position]: float(shares[position]) for position in order}


def rank_columns(first: int, last: int) -> list[str]:
    """``class_2, probability_2, class_3, ...``: a pair for each rank."""
    return [f"{column}_{rank}" for rank in range(first, last + 1) for column in ("class", "probability")]


def rank_cells(best: dict[str, float]) -> list[str]:
    """Class, probability, class, probability, ..., in descending order of probability."""
    return [cell for name, share in best.items() for cell in (name, f"{share:.6f}")]


def path_cell(path: str) -> str:
    """A path to the same file that spreadsheets do not interpret as a formula.

    File names may come from untrusted sources; class names do not and are not changed.
    """
    return f"./{path}" if path.startswith(FORMULA) else path
