"""One training of a search: runs ``fit`` in this process without output."""

from __future__ import annotations

import gc
import io
import logging
import math
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from ...models.monitor import MODES, Monitor
from ...training.divergence import DivergedError, require_finite_losses
from ..fit import FitCLI, closing_training

Report = Callable[[int, float], None]

LOSS = "val/loss"


class TrialCLI(FitCLI):
    """``fit`` without the test, because a search uses only the validation split to choose."""

    def __init__(self, options: Sequence[str], reporter: EpochReporter) -> None:
        self.reporter = reporter
        super().__init__(list(options))

    def instantiate_trainer(self, callbacks: Sequence[Callback] = (), **kwargs: Any) -> Trainer:
        return super().instantiate_trainer([*callbacks, self.reporter], **kwargs)

    def fit(self, ckpt_path: str | None = None, **kwargs: Any) -> None:
        self.trainer.fit(ckpt_path=ckpt_path, weights_only=True, **kwargs)
        require_finite_losses(self.trainer)
        self.status.end("finished")


class EpochReporter(Callback):
    """Reports the metric of each epoch to the search.

    Args:
        metric: name of the metric.
        report: called with the index of the validation, from 0, and the metric; an exception ends the training.
    """

    def __init__(self, metric: Monitor, report: Report) -> None:
        self.metric = metric
        self.report = report
        self.values: list[float] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        for name in (LOSS, self.metric):
            value = trainer.callback_metrics[name].item()
            if not math.isfinite(value):
                raise DivergedError(f"{name} is {value} after epoch {trainer.current_epoch + 1}")
        self.values.append(value)
        self.report(len(self.values) - 1, value)

    @property
    def best(self) -> float:
        return (min if MODES[self.metric] == "min" else max)(self.values)


def train(options: Sequence[str], metric: Monitor, report: Report) -> float:
    """Train, and return the metric of the best epoch.

    Raises:
        UserError: an option is wrong.
        DivergedError: the loss is infinite or NaN.
        KeyboardInterrupt: the user stopped the search.
    """
    reporter = EpochReporter(metric, report)
    with quietly(), closing_training():
        TrialCLI([*options, "--trainer.enable_progress_bar=false"], reporter)
    return reporter.best


@contextmanager
def quietly() -> Iterator[None]:
    """Suppress the output of a training; raise KeyboardInterrupt on Ctrl-C, where Lightning raises SystemExit."""
    logger, on_interrupt = logging.getLogger(__package__.split(".")[0]), signal.getsignal(signal.SIGINT)
    level = logger.level
    logger.setLevel(logging.WARNING)
    gc.collect()  # free the memory of the previous training, whose objects are in reference cycles
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SystemExit as stop:
        if isinstance(stop.__cause__, DivergedError):
            raise stop.__cause__ from None
        raise KeyboardInterrupt from stop
    finally:
        signal.signal(signal.SIGINT, on_interrupt)
        logger.setLevel(level)
