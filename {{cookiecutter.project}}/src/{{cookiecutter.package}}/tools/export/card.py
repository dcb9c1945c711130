"""The table of an export's models, and its README: a model card filled from the run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader

from ...engine.calibration import calibration_error
from ...engine.results import SplitOutputs
from ...engine.splits import Split
from ...files import write_text
from .proof import PairedLoss, Proof, Reference

NUM_WEAKEST = 5


@dataclass
class Row:
    """A model of the export: its proof or its loss, and its measures."""

    file: str
    megabytes: float
    measures: dict[str, Any]
    proof: Proof
    losses: dict[Split, PairedLoss] = field(default_factory=dict)


def table_rows(rows: list[Row]) -> list[tuple[str, list[str]]]:
    """Heading and a cell for each model."""
    cells = [
        ("size, MB", [f"{row.megabytes:.1f}" if row.megabytes >= 1 else f"{row.megabytes:.2g}" for row in rows]),
        ("same class", [f"{row.proof.num_same_class:,} of {row.proof.num_images:,}" for row in rows]),
        ("largest difference", [f"{row.proof.largest_difference:.1e}" for row in rows]),
        ("validation: lost, won", [lost_and_won(row, "val") for row in rows]),
        ("test: lost, won", [lost_and_won(row, "test") for row in rows]),
    ]
    for size in (1, 32):
        times = [f"{row.measures[f'p50_ms_{size}']:.3g}, {row.measures[f'p95_ms_{size}']:.3g}" for row in rows]
        cells.append((f"batch of {size}: p50, p95 ms", times))
    cells.append(("load and first image, s", [f"{row.measures['load_seconds']:.2f}" for row in rows]))
    peaks = [row.measures["peak_mb"] for row in rows]
    cells.append(("peak memory, MB", ["unknown" if peak is None else f"{peak:.0f}" for peak in peaks]))
    return cells


def lost_and_won(row: Row, split: Split) -> str:
    """A model that is proven to answer as the checkpoint loses and wins none."""
    loss = row.losses.get(split)
    return "0, 0" if loss is None else f"{loss.num_lost}, {loss.num_won}"


def write_card(
    file: Path, description: Mapping[str, Any], references: Mapping[Split, Reference], rows: Mapping[str, Row]
) -> None:
    """Write the model card, in Markdown."""
    test = references["test"].outputs
    environment = Environment(loader=PackageLoader(__package__, "."), trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = cell
    page = environment.get_template("card.md.jinja").render(
        about=description,
        models=list(rows),
        table=table_rows(list(rows.values())),
        weakest=weakest_classes(test, description["class_names"]),
        calibration_error=calibration_error(test),
        num_images={split: len(reference.outputs) for split, reference in references.items()},
    )
    write_text(file, page)


def cell(text: str) -> str:
    """A text as the cell of a Markdown table; class names may contain anything."""
    text = re.sub(r"([\\|`*_\[])", r"\\\1", text).replace("<", "&lt;")
    return " ".join(text.split())


def weakest_classes(outputs: SplitOutputs, class_names: list[str]) -> list[tuple[str, int, float]]:
    """Name, number of images and recall of the classes with the lowest recall."""
    counts = np.bincount(outputs.labels, minlength=len(class_names))
    correct = np.bincount(outputs.labels[outputs.is_correct], minlength=len(class_names))
    recalls = [
        (name, int(num), float(right / num))
        for name, num, right in zip(class_names, counts, correct, strict=True)
        if num
    ]
    return sorted(recalls, key=lambda recall: recall[2])[:NUM_WEAKEST]
