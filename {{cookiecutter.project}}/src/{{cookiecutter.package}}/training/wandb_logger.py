"""Logging to W&B: one point an epoch. No error in W&B ends the training."""

from __future__ import annotations

import logging
import shlex
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ..models.monitor import MODES, Monitor
from ..program import runner
from .metrics_table import Row

PATIENCE = 30.0  # seconds to wait for one call, which usually takes a millisecond

log = logging.getLogger(__name__)


class WandbLogger(Logger):
    """Logs the rows of ``metrics.csv``, one an epoch, with the number of the epoch as W&B's step.

    Lightning's logger of this name logs three points an epoch, and an error or a hang in W&B ends or blocks the
    training. Here W&B is not called again after the first call that fails or hangs, and one warning says so.

    Args:
        run: a started W&B run.
        monitor: decides which epoch is best; its metrics are the summary.
        directory: of the run.
        history: rows of earlier epochs, if the training is resumed.
        is_continued: whether W&B already has the run.
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
        self.marker = directory / "wandb" / f"{run.id}.epoch"  # number of the last epoch sent to W&B
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
        """The W&B run, for your own callbacks; call it within ``attempt``."""
        return self.run

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Sends nothing: W&B received the config at the start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.row |= {name: float(value) for name, value in metrics.items() if not name.startswith("test/")}
        if is_whole(metrics):
            self._log_epoch(self.row | {"step": (step or 0) + 1}, is_new=True)
            self.row = {}

    def attempt(self, task: Callable[[], Any], seconds: float | None = None) -> bool:
        """Call W&B and wait for the result; after a first failure, do nothing.

        Args:
            task: the call.
            seconds: to wait at most; None takes ``PATIENCE``.

        Returns:
            whether the call succeeded.
        """
        if not self.is_alive:
            return False
        error = failure(task, PATIENCE if seconds is None else seconds)
        if error is not None:
            self.is_alive = False
            log.warning(
                "W&B failed (%s: %s) and receives no more data; the files in %s are complete without it. To upload the "
                "data so far: %swandb sync %s/wandb/*run-*",
                type(error).__name__,
                error,
                self.directory,
                runner(),
                shlex.quote(str(self.directory)),
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
        """The last epoch that W&B has; without a marker (the run is from another directory), all of ``history``."""
        if self.marker.is_file():
            return int(self.marker.read_text(encoding="utf-8"))
        return max((row["epoch"] for row in history), default=-1)


def is_whole(metrics: Mapping[str, float]) -> bool:
    """Whether the epoch is complete: Lightning logs its training metrics last."""
    return any(name.startswith("train/") for name in metrics)


def better(best: Row, row: Row, monitor: Monitor) -> Row:
    """The row with the better monitored metric; the first one if they are equal."""
    if not best or monitor not in best:
        return row
    sign = 1 if MODES[monitor] == "max" else -1
    return row if sign * row.get(monitor, float("nan")) > sign * best[monitor] else best


def failure(task: Callable[[], Any], seconds: float) -> BaseException | None:
    """The error that a task raises; a TimeoutError if it takes longer, in which case its thread is left running."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            task()
        except (Exception, SystemExit) as error:  # W&B raises errors of many types, and none may end the training
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return TimeoutError(f"no answer within {seconds:g} s")
    return raised[0] if raised else None


def abandon_service() -> None:
    """Disconnect from W&B's service: at exit, the process would otherwise wait for it or raise an error."""
    import wandb

    failure(lambda: wandb.teardown(exit_code=1), seconds=2)
