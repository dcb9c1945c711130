"""Predictions as a table that a spreadsheet opens."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .outputs import SplitOutputs

FILE_NAME = "predictions.csv"
COLUMNS = ("path", "true_class", "predicted_class", "probability", "top_k")
TOP_K = 5


def write_predictions(file: Path, outputs: SplitOutputs, class_names: Sequence[str]) -> None:
    """Write one row an image, in the order of the split.

    Args:
        file: CSV file to write, over an older one.
        outputs: N images with their names, labels and logits.
        class_names: K names.
    """
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for name, label, shares in zip(outputs.names, outputs.labels, outputs.probabilities, strict=True):
            best = top_k(shares, class_names)
            predicted, probability = next(iter(best.items()))
            writer.writerow([name, class_names[label], predicted, f"{probability:.6f}", as_json(best)])


def top_k(shares: NDArray[np.float32], class_names: Sequence[str], k: int = TOP_K) -> dict[str, float]:
    """The k likeliest classes with their probabilities, the likeliest first.

    Args:
        shares: (K,) probabilities of one image.
        class_names: K names.
        k: how many; all where there are fewer.
    """
    order = np.argsort(-shares, kind="stable")[:k]
    return {class_names[position]: float(shares[position]) for position in order}


def as_json(best: dict[str, float]) -> str:
    return json.dumps({name: round(share, 6) for name, share in best.items()}, ensure_ascii=False)
