"""``metrics.csv``: one row per epoch; the file is always complete, and a resumed training continues it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

FILE_NAME = "metrics.csv"
FIRST = ("epoch", "step")

Row = dict[str, float]


class MetricsTable(Logger):
    """Collects the metrics of an epoch in one row, with the number of steps at its end.

    Lightning's CSVLogger writes several rows an epoch, and deletes the file when a training resumes. Learning rates
    are those at the start of the epoch. Test metrics go to ``summary.json``.

    Args:
        directory: of the run.
        rows: of earlier epochs, if the training is resumed: see ``history``.
    """

    def __init__(self, directory: Path, rows: list[Row]) -> None:
        super().__init__()
        self.file = directory / FILE_NAME
        self.rows = {int(row["epoch"]): dict(row) for row in rows}
        self.learning_rates: Row = {}  # of the current epoch
        if rows:
            self.learning_rates = {name: value for name, value in rows[-1].items() if name.startswith("lr/")}
            self.save()

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Writes nothing: the config is in ``config.yaml``."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {name: float(value) for name, value in metrics.items() if not name.startswith("test/")}
        if "epoch" not in values:  # from Lightning's LearningRateMonitor, before the epoch's first step
            self.learning_rates = values
            return
        epoch = int(values["epoch"])
        if values.keys() - {"epoch"}:
            self.rows[epoch] = self.row(epoch, self.rows.get(epoch, {}) | values, (step or 0) + 1)
            self.save()

    def row(self, epoch: int, values: Mapping[str, float], step: int) -> Row:
        return {**self.learning_rates, **values, "epoch": epoch, "step": step}

    def history(self, epoch: int, unfinished: Row | None = None) -> list[Row]:
        """The rows before an epoch, and the unfinished row of that epoch if there is one: for a checkpoint."""
        before = [self.rows[number] for number in sorted(self.rows) if number < epoch]
        return before if unfinished is None else [*before, unfinished]

    @rank_zero_only
    def save(self) -> None:
        names = {name for row in self.rows.values() for name in row}
        columns = [*FIRST, *sorted(names - set(FIRST))]
        part = self.file.with_suffix(".part")
        with part.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(self.rows[epoch] for epoch in sorted(self.rows))
        part.replace(self.file)
