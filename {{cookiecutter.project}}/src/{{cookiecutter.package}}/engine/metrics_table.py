"""The metrics of a run: writes a row for each epoch into ``metrics.csv``, and reads them again."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from msgspec import Meta

from ..errors import UserError
from ..facts import mode_of
from ..files import replacing
from .reading import checked, read_csv
from .run_directory import DAMAGED, METRICS

EpochMetrics = dict[str, float]


class MetricsTable(Logger):
    """Writes ``metrics.csv``: all metrics of an epoch in one row, with the number of steps at its end.

    Lightning's CSVLogger writes several rows an epoch, and deletes the file when a training resumes. Learning rates
    are those at the start of the epoch. Test metrics go to ``summary.json``. ``rows`` are those of a resumed training.
    """

    name, version = "", ""  # the folders of Lightning's loggers

    def __init__(self, directory: Path, rows: list[EpochMetrics]) -> None:
        super().__init__()
        self.file = directory / METRICS
        self.rows = {int(row["epoch"]): dict(row) for row in rows}
        self.learning_rates: EpochMetrics = {}  # of the current epoch
        if rows:
            self.learning_rates = {name: value for name, value in rows[-1].items() if name.startswith("lr/")}
            self.save()

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Writes nothing: the config is in ``config.yaml``."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {name: float(value) for name, value in metrics.items() if not name.startswith("test/")}
        if "epoch" not in values:  # from Lightning's LearningRateMonitor, before the epoch's first step
            self.learning_rates = values
        elif values.keys() != {"epoch"}:
            epoch = int(values["epoch"])
            self.rows[epoch] = self.row(epoch, self.rows.get(epoch, {}) | values, (step or 0) + 1)
            self.save()

    def row(self, epoch: int, values: Mapping[str, float], step: int) -> EpochMetrics:
        return {**self.learning_rates, **values, "epoch": epoch, "step": step}

    @rank_zero_only
    def save(self) -> None:
        names = {name for row in self.rows.values() for name in row} - {"epoch", "step"}
        with replacing(self.file) as stream:
            writer = csv.DictWriter(stream, ["epoch", "step", *sorted(names)])
            writer.writeheader()
            writer.writerows(self.rows[epoch] for epoch in sorted(self.rows))


def read_metrics(file: Path) -> list[EpochMetrics]:
    """The rows of ``metrics.csv``, in the order of the epochs; NaN and infinity are values of a divergence."""
    rows: list[EpochMetrics] = []
    for number, cells in enumerate(read_csv(file, ("epoch", "step"), DAMAGED), start=2):
        row: EpochMetrics = {}
        for name, text in cells.items():
            try:
                row |= {name: float(text)} if text else {}
            except ValueError as error:
                raise UserError(f"{str(file)!r}, row {number}: {name} is {text!r}, not a number. {DAMAGED}") from error
        what = f"{str(file)!r}, row {number}"
        for name in ("epoch", "step"):
            checked(row.get(name, -1.0), Annotated[float, Meta(ge=0, le=1e12)], f"{what}, {name}", DAMAGED)
        if rows and row["epoch"] <= rows[-1]["epoch"]:
            raise UserError(f"{what}: epoch {row['epoch']:g} follows epoch {rows[-1]['epoch']:g}. {DAMAGED}")
        rows.append(row)
    return rows


def best_epoch(epochs: Sequence[EpochMetrics], monitor: str) -> EpochMetrics | None:
    """The first epoch with the best value of the metric, whose weights are kept; None if it was never measured."""
    sign = 1 if mode_of(monitor) == "min" else -1
    measured = [epoch for epoch in epochs if math.isfinite(epoch.get(monitor, math.nan))]
    return min(measured, key=lambda epoch: sign * epoch[monitor], default=None)
