"""Shows the progress of a training: a progress bar on a terminal, otherwise one log line per epoch."""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import timedelta
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

REFRESH_SECONDS = 0.25
NARROW = 110  # columns; narrower terminals do not show the training loss and the number of batches
BAR_COLUMNS = 10

log = logging.getLogger(__name__)


def progress_callback(is_enabled: bool | None) -> Callback:
    """The progress bar if it is enabled and standard error is a terminal, otherwise log lines."""
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return CompactBar() if is_terminal and is_enabled is not False else EpochLines()


class EpochClock:
    """Measures the time and speed of epochs; the values of an epoch are valid until the next epoch starts."""

    def __init__(self) -> None:
        self.first_epoch: int | None = None  # the first epoch that this process trains
        self.has_trained = False
        self.rate_before = ""
        self.num_images = 0  # of this epoch, over all processes
        self.validation_seconds = 0.0  # of this epoch
        self.training_start = self.epoch_start = self.validation_start = self.now = time.monotonic()

    def start_epoch(self, epoch: int) -> None:
        self.rate_before = self.rate
        self.epoch_start = self.now = time.monotonic()
        self.num_images, self.validation_seconds = 0, 0.0
        if not self.has_trained:  # features may have been cached since the training started
            self.first_epoch, self.training_start = epoch, self.now

    def count(self, batch: Any, num_processes: int) -> None:
        self.num_images += len(batch[1]) * num_processes
        self.has_trained = True
        self.now = time.monotonic()

    def start_validation(self) -> None:
        self.validation_start = time.monotonic()

    def end_validation(self) -> None:
        self.now = time.monotonic()
        self.validation_seconds += self.now - self.validation_start

    @property
    def seconds(self) -> float:
        return self.now - self.epoch_start

    @property
    def rate(self) -> str:
        """Training images per second, without validation; before the first batch, the rate of the previous epoch."""
        seconds = self.seconds - self.validation_seconds
        return f"{self.num_images / seconds:,.0f} images/s" if self.num_images and seconds > 0 else self.rate_before

    def left(self, num_epochs: float, max_epochs: int | None) -> str:
        """Estimated time until the end of the last epoch, from the mean speed so far; empty if there is no limit.

        Args:
            num_epochs: number of trained epochs, including the fraction of the current one.
            max_epochs: total number of epochs; None and -1 mean no limit.
        """
        trained = num_epochs - (self.first_epoch or 0)
        if trained <= 0 or max_epochs is None or max_epochs < 0:
            return ""
        seconds = (self.now - self.training_start) / trained * max(max_epochs - num_epochs, 0)
        return f"{str(timedelta(seconds=round(seconds))).removeprefix('0:')} left"


class EpochLines(Callback):
    """Logs one line per epoch at the start of the next epoch, when all metrics have been computed."""

    def __init__(self) -> None:
        self.clock = EpochClock()
        self.ended: int | None = None  # the epoch whose line is still to be written

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.clock.start_epoch(trainer.current_epoch)  # on_train_epoch_start is not called within an epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write(trainer, pl_module)
        self.clock.start_epoch(trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.clock.count(batch, trainer.world_size)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.clock.start_validation()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.clock.end_validation()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.ended = trainer.current_epoch

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.write(trainer, pl_module)

    def write(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.ended is None or not trainer.is_global_zero:
            return
        clock, number = self.clock, self.ended + 1
        parts = [epoch_of(number, trainer.max_epochs), *metrics_of(trainer, pl_module)]
        parts += [clock.rate, f"{clock.seconds:.1f} s", clock.left(number, trainer.max_epochs)]
        log.info("%s", "  ".join(filter(None, parts)))
        self.ended = None


class CompactBar(ProgressBar):
    """Progress bar in one line: epoch, bar, rate, time left, metrics of the previous epoch.

    The bar is drawn on standard error, so that standard output contains only results, and is removed when a stage ends.
    Other output appears above it. It uses the default colours of the terminal, which are readable on its background.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = EpochClock()
        self.console = Console(stderr=True)
        self.is_enabled = True
        self.progress: Progress | None = None
        self.title, self.total, self.drawn = "", 0.0, 0.0

    def enable(self) -> None:
        self.is_enabled = True

    def disable(self) -> None:
        self.is_enabled = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.clock.start_epoch(trainer.current_epoch)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.clock.start_epoch(trainer.current_epoch)
        self.begin(epoch_of(trainer.current_epoch + 1, trainer.max_epochs), self.total_train_batches)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.clock.count(batch, trainer.world_size)
        self.advance(batch_idx)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.clock.start_validation()
        if not trainer.sanity_checking:
            self.begin("validation", sum(trainer.num_val_batches))

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if not trainer.sanity_checking:
            self.advance(args[2])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.clock.end_validation()
        if trainer.state.fn != TrainerFn.FITTING:
            self.stop()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin("test", sum(trainer.num_test_batches))

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.advance(args[2])

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin("predict", sum(trainer.num_predict_batches))

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self.advance(args[2])

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.stop()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.stop()

    def begin(self, title: str, total: float) -> None:
        """Start a bar in place of the previous one."""
        if not self.is_enabled:
            return
        if self.progress is None:
            self.progress = self.build()
            self.progress.add_task("", text="")
            self.progress.start()
        self.title, self.total = title, total
        self.draw(0)

    def build(self) -> Progress:
        bar = BarColumn(BAR_COLUMNS, style="bright_black", complete_style="green", finished_style="green")
        text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        return Progress(
            TextColumn("{task.description}", markup=False),
            bar,
            text,
            console=self.console,
            auto_refresh=False,  # no thread: the training draws it, between two steps
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )

    def advance(self, batch_idx: int) -> None:
        if self.progress is not None and time.monotonic() - self.drawn >= REFRESH_SECONDS:
            self.draw(batch_idx + 1)

    def draw(self, num_batches: int) -> None:
        if self.progress is None:
            return
        self.drawn = time.monotonic()
        total = self.total if self.total < float("inf") else None
        parts = [f"{num_batches}/{total or '?'}"] if self.console.width >= NARROW else []
        if self.trainer.state.fn == TrainerFn.FITTING:
            trained = self.trainer.current_epoch + (num_batches / total if total and self.trainer.training else 0)
            parts += [self.clock.rate, self.clock.left(trained, self.trainer.max_epochs)]
            metrics = metrics_of(self.trainer, self.trainer.lightning_module)
            parts += metrics if self.console.width >= NARROW else metrics[1:3]
        (task,) = self.progress.task_ids
        text = "  ".join(filter(None, parts))
        self.progress.update(task, description=self.title, total=total, completed=num_batches, text=text)
        self.progress.refresh()

    def stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None


def epoch_of(number: int, max_epochs: int | None) -> str:
    """Text such as ``epoch  3/40``, with the same width for all epochs."""
    limit = "" if max_epochs is None or max_epochs < 0 else str(max_epochs)
    return f"epoch {number:{len(limit)}}/{limit}" if limit else f"epoch {number}"


def metrics_of(trainer: Trainer, model: LightningModule) -> list[str]:
    """Texts of the latest metrics: losses, accuracy, and the monitored metric."""
    values = trainer.callback_metrics
    names = dict.fromkeys(["train/loss", "val/loss", "val/acc", str(getattr(model, "monitor", "val/loss"))])
    return [
        f"{name} {values[name].item():.1%}" if name.endswith("acc") else f"{name} {values[name].item():.4f}"
        for name in names
        if name in values
    ]
