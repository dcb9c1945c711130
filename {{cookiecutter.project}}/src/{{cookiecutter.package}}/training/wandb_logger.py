"""What W&B is told of a training: one point an epoch, and never at the training's expense."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ..models.monitor import MODES, Monitor
from .metrics_table import Row

PATIENCE = 30.0  # seconds for one call, which takes a millisecond: from then on W&B's service hangs

log = logging.getLogger(__name__)


class WandbLogger(Logger):
    """Logs whole epochs, the rows of ``metrics.csv``, with the number of the epoch as W&B's step.

    Lightning's logger of this name logs three points an epoch, and what W&B raises or waits for, the training raises
    and waits for: here the first call that fails or hangs is the last one, and is told of once.

    Args:
        run: of W&B, started.
        monitor: says which epoch is the best, whose metrics are the summary.
        directory: of the run.
        history: rows of the epochs before, where the training resumes.
        is_continued: whether W&B has the run already.
    """

    def __init__(self, run: Any, monitor: Monitor, directory: Path, history: list[Row], is_continued: bool) -> None:
        super().__init__()
        self.run = run
        self.monitor = monitor
        self.directory = directory
        self.is_alive = True
        self.row: Row = {}
        self.histograms: dict[str, Any] = {}
        self.best: Row = {}
        self.marker = directory / "wandb" / f"{run.id}.epoch"  # the last epoch that W&B has
        known = self._known_epoch(history if is_continued else [])
        self.attempt(self._define_axes)
        for row in history:
            if is_whole(row):
                self._log_epoch(row, is_new=row["epoch"] > known)
            else:  # the epoch within which the training stopped
                self.row = dict(row)

    @property
    def name(self) -> str:
        return str(self.run.project)

    @property
    def version(self) -> str:
        return str(self.run.id)

    @property
    def experiment(self) -> Any:
        """The W&B run, for callbacks of your own; what you log with it, guard with ``attempt``."""
        return self.run

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """W&B has the whole config from its start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.row |= {name: float(value) for name, value in metrics.items() if not name.startswith("test/")}
        if is_whole(metrics):
            self._log_epoch(self.row | {"step": (step or 0) + 1}, is_new=True)
            self.row = {}

    def attempt(self, task: Callable[[], Any], seconds: float | None = None) -> bool:
        """Do something with W&B, and wait for it; after a first failure nothing is done any more.

        Args:
            task: what to do.
            seconds: to wait at most; None for those of one call.

        Returns:
            whether it was done.
        """
        if not self.is_alive:
            return False
        error = failure(task, PATIENCE if seconds is None else seconds)
        if error is not None:
            self.is_alive = False
            log.warning(
                "W&B failed (%s: %s) and is told nothing more; the record in %s is complete without it. What W&B has "
                "by now can be uploaded with: wandb sync %s/wandb/*run-*",
                type(error).__name__,
                error,
                self.directory,
                self.directory,
            )
            abandon_service()
        return error is None

    def _define_axes(self) -> None:
        self.run.define_metric("epoch")
        for name in ("train/*", "val/*", "lr/*", "gradients/*", "trainer/global_step"):
            self.run.define_metric(name, step_metric="epoch")

    def _log_epoch(self, row: Row, is_new: bool) -> None:
        values = {name: value for name, value in row.items() if name != "step"}
        values |= {"epoch": int(row["epoch"]), "trainer/global_step": int(row["step"])}
        self.best = better(self.best, values, self.monitor)
        if is_new and self.attempt(lambda: self._send(values | self.histograms)):
            self.marker.write_text(f"{values['epoch']}\n", encoding="utf-8")
        self.histograms = {}

    def _send(self, values: dict[str, Any]) -> None:
        self.run.log(values, step=values["epoch"], commit=True)
        of_best = {name: value for name, value in self.best.items() if name.startswith(("train/", "val/"))}
        self.run.summary.update(of_best | {"best_epoch": self.best["epoch"]})

    def _known_epoch(self, history: list[Row]) -> float:
        """The last epoch that W&B has: without a marker, from a run in another directory, all of them."""
        if self.marker.is_file():
            return int(self.marker.read_text(encoding="utf-8"))
        return max((row["epoch"] for row in history), default=-1)


def is_whole(metrics: Mapping[str, float]) -> bool:
    """Whether an epoch is over: Lightning logs the metrics of its training when all else is known."""
    return any(name.startswith("train/") for name in metrics)


def better(best: Row, row: Row, monitor: Monitor) -> Row:
    """The row whose monitored metric is better; of equal ones the first, which is the one kept."""
    if not best or monitor not in best:
        return row
    sign = 1 if MODES[monitor] == "max" else -1
    return row if sign * row.get(monitor, float("nan")) > sign * best[monitor] else best


def failure(task: Callable[[], Any], seconds: float) -> BaseException | None:
    """What a task raises, or a TimeoutError where it is not done in time; it then waits on, in its thread."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            task()
        except (Exception, SystemExit) as error:  # W&B raises many kinds, and a training must end by none of them
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return TimeoutError(f"no answer within {seconds:g} s")
    return raised[0] if raised else None


def abandon_service() -> None:
    """Forget W&B's service, which at the end of the process would be waited for, or raise once more."""
    import wandb

    failure(lambda: wandb.teardown(exit_code=1), seconds=2)
