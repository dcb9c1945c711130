"""Predictions and their output files, which are written row by row and appear only when complete."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from ..errors import UserError
from ..evaluation.predictions import path_cell, rank_cells, rank_columns

COLUMNS = ("path", "class", "probability", "abstained", "error")


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes:
        path: path as given; None for an image in memory.
        class_name: the most probable class; None if the image cannot be read or the model abstains.
        probability: probability of the most probable class, also if the model abstains.
        top_k: the most probable classes with their probabilities, in descending order.
        abstained: whether the probability is below the threshold for naming a class.
        error: why there is no prediction.
    """

    path: str | None
    class_name: str | None = None
    probability: float | None = None
    top_k: dict[str, float] = field(default_factory=dict)
    abstained: bool = False
    error: str | None = None


class Predictions(list[Prediction]):
    """A list of predictions, in the order of the images."""

    def to_pandas(self) -> Any:
        """A DataFrame with the columns of the CSV file.

        Raises:
            UserError: pandas is not installed.
        """
        if find_spec("pandas") is None:
            raise UserError("to_pandas needs pandas, which is not installed. Install it: uv add pandas.")
        num_ranks = max((len(prediction.top_k) for prediction in self), default=0)
        rows = [as_row(prediction) for prediction in self]
        return import_module("pandas").DataFrame(rows, columns=[*COLUMNS, *rank_columns(1, num_ranks)])


def as_row(prediction: Prediction) -> dict[str, Any]:
    """Values by column; ranks without a class are left out."""
    ranked = [value for pair in prediction.top_k.items() for value in pair]
    answer = (prediction.path, prediction.class_name, prediction.probability, prediction.abstained, prediction.error)
    return dict(zip(COLUMNS, answer, strict=True)) | dict(
        zip(rank_columns(1, len(prediction.top_k)), ranked, strict=True)
    )


def write_csv(predictions: Iterable[Prediction], stream: TextIO, num_ranks: int) -> None:
    """Write one row per image: the predicted class, then the classes by rank. Missing values are empty."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*COLUMNS, *rank_columns(1, num_ranks)])
    for prediction in predictions:
        writer.writerow(cells(prediction, num_ranks))


def write_jsonl(predictions: Iterable[Prediction], stream: TextIO, _num_ranks: int = 0) -> None:
    """Write one object per line; missing values are null."""
    stream.writelines(f"{as_object(prediction)}\n" for prediction in predictions)


def write_json(predictions: Iterable[Prediction], stream: TextIO, _num_ranks: int = 0) -> None:
    """Write an array of the objects of ``write_jsonl``, one per line."""
    stream.write("[")
    for position, prediction in enumerate(predictions):
        stream.write(f"{',' if position else ''}\n{as_object(prediction)}")
    stream.write("\n]\n")


FORMATS: dict[str, Callable[[Iterable[Prediction], TextIO, int], None]] = {
    ".csv": write_csv,
    ".json": write_json,
    ".jsonl": write_jsonl,
}


def require_writable(file: Path) -> None:
    """Check before prediction that the output can be written.

    Raises:
        UserError: the extension is unknown, or the folder does not exist or is not writable.
    """
    if file.suffix.lower() not in FORMATS or file.is_dir():
        raise UserError(f"--output is {str(file)!r}; it must be a file that ends in {', '.join(FORMATS)}, or -.")
    if not file.parent.is_dir():
        raise UserError(f"--output is {str(file)!r}, but there is no folder {str(file.parent)!r}. Create it.")
    if not os.access(file.parent, os.W_OK):
        raise UserError(f"--output is {str(file)!r}, but the folder {str(file.parent)!r} is not writable.")


def write_table(predictions: Iterable[Prediction], file: Path, num_ranks: int) -> None:
    """Write in the format of the file's extension; an existing file is replaced atomically at the end.

    Names that are not valid UTF-8 are written with escapes, which JSON restores when it is read.

    Args:
        predictions: predictions for any number of images.
        file: file to write: .csv, .json or .jsonl.
        num_ranks: number of classes per image, for the columns of a CSV file.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
            FORMATS[file.suffix.lower()](predictions, stream, num_ranks)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def cells(prediction: Prediction, num_ranks: int) -> list[str | None]:
    ranked = rank_cells(prediction.top_k)
    return [
        None if prediction.path is None else path_cell(prediction.path),
        prediction.class_name,
        None if prediction.probability is None else f"{prediction.probability:.6f}",
        str(prediction.abstained).lower(),
        prediction.error,
        *ranked,
        *[None] * (2 * num_ranks - len(ranked)),
    ]


def as_object(prediction: Prediction) -> str:
    values: dict[str, Any] = {
        "path": prediction.path,
        "class": prediction.class_name,
        "probability": None if prediction.probability is None else round(prediction.probability, 6),
        "abstained": prediction.abstained,
        "error": prediction.error,
        "top_k": {name: round(share, 6) for name, share in prediction.top_k.items()},
    }
    return json.dumps(values, ensure_ascii=False)
