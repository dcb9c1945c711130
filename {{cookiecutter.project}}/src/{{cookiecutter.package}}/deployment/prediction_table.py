"""Predictions as a file: row by row, and there only when it is complete."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from ..errors import UserError
from ..evaluation.predictions import as_json
from .predictor import Prediction

COLUMNS = ("path", "class", "probability", "top_k", "abstained", "error")


def write_csv(predictions: Iterable[Prediction], stream: TextIO) -> None:
    """A row an image; ``top_k`` is JSON, and what there is not is empty."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for prediction in predictions:
        writer.writerow(cells(prediction))


def write_jsonl(predictions: Iterable[Prediction], stream: TextIO) -> None:
    """An object a line; what there is not is null."""
    stream.writelines(f"{as_object(prediction)}\n" for prediction in predictions)


def write_json(predictions: Iterable[Prediction], stream: TextIO) -> None:
    """An array of the objects of ``write_jsonl``, a line each."""
    stream.write("[")
    for position, prediction in enumerate(predictions):
        stream.write(f"{',' if position else ''}\n{as_object(prediction)}")
    stream.write("\n]\n")


FORMATS: dict[str, Callable[[Iterable[Prediction], TextIO], None]] = {
    ".csv": write_csv,
    ".json": write_json,
    ".jsonl": write_jsonl,
}


def require_writable(file: Path) -> None:
    """Refuse, before anything is computed, what could not be written after it.

    Raises:
        UserError: the ending is of no known format, or there is no such folder.
    """
    if file.suffix.lower() not in FORMATS or file.is_dir():
        raise UserError(f"--output is {str(file)!r}; it must be a file that ends in {', '.join(FORMATS)}, or -.")
    if not file.parent.is_dir():
        raise UserError(f"--output is {str(file)!r}, and there is no folder {str(file.parent)!r}. Make it first.")
    if not os.access(file.parent, os.W_OK):
        raise UserError(f"--output is {str(file)!r}, and nothing can be written into {str(file.parent)!r}.")


def write_table(predictions: Iterable[Prediction], file: Path) -> None:
    """Write the format that the ending says; a file that is there is replaced in one step, at the end.

    Names that are no text in UTF-8 are written with escapes, which JSON reads back as they were.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
            FORMATS[file.suffix.lower()](predictions, stream)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def cells(prediction: Prediction) -> list[str | None]:
    known = prediction.probability is not None
    return [
        prediction.path,
        prediction.class_name,
        f"{prediction.probability:.6f}" if known else None,
        as_json(prediction.top_k) if known else None,
        str(prediction.abstained).lower(),
        prediction.error,
    ]


def as_object(prediction: Prediction) -> str:
    values: dict[str, Any] = {
        "path": prediction.path,
        "class": prediction.class_name,
        "probability": None if prediction.probability is None else round(prediction.probability, 6),
        "top_k": {name: round(share, 6) for name, share in prediction.top_k.items()},
        "abstained": prediction.abstained,
        "error": prediction.error,
    }
    return json.dumps(values, ensure_ascii=False)
