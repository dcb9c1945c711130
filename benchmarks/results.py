"""Raw results: JSON lines on disk, the first about the machine, then one for each run of a program."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """One run of one program.

    Attributes:
        program: its name.
        repeat: counted from 0; also the seed.
        figures: what it printed; empty where it printed nothing.
        skipped: why it was not run.
        failed: the end of what it wrote to stderr.
    """

    program: str
    repeat: int
    figures: Mapping[str, Any] = field(default_factory=dict)
    skipped: str = ""
    failed: str = ""


@dataclass(frozen=True)
class Spread:
    """Median and range of a figure over the repeats."""

    median: float
    low: float
    high: float
    num_trials: int


@dataclass(frozen=True)
class Results:
    machine: Mapping[str, Any]
    records: list[Record]

    def of(self, program: str) -> list[Record]:
        return [record for record in self.records if record.program == program]

    def spread(self, program: str, figure: str) -> Spread | None:
        """None where the program did not run, or one of its runs has no such figure (a target not reached)."""
        values = [record.figures.get(figure) for record in self.of(program)]
        numbers = [float(value) for value in values if value is not None]
        if not numbers or len(numbers) < len(values):
            return None
        return Spread(statistics.median(numbers), min(numbers), max(numbers), len(numbers))

    def device(self, program: str) -> str | None:
        return next((str(record.figures["device"]) for record in self.of(program) if record.figures), None)


def start_file(file: Path, machine: Mapping[str, Any]) -> None:
    """Begin anew: numbers of different runs are never compared."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"machine": machine}) + "\n", encoding="utf-8")


def append(file: Path, record: Record) -> None:
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(record)) + "\n")


def read_results(file: Path) -> Results:
    first, *rest = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return Results(first["machine"], [Record(**line) for line in rest])
