"""Predictions as a table that a spreadsheet opens."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ..data.labelled_images import LabelledImages

COLUMNS = ("image", "true_class", "predicted_class", "probability")


def write_predictions(file: Path, images: LabelledImages, probabilities: Tensor, class_names: Sequence[str]) -> None:
    """Write one row an image, in the order of the split.

    Args:
        file: CSV file to write, over an older one.
        images: N images with their names and labels.
        probabilities: (N, K).
        class_names: K names.
    """
    confidence, predicted = probabilities.max(dim=1)
    columns = zip(images.names, images.labels.tolist(), predicted.tolist(), confidence.tolist(), strict=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for name, label, prediction, probability in columns:
            writer.writerow([name, class_names[label], class_names[prediction], f"{probability:.6f}"])
