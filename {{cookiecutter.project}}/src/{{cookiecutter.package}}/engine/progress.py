"""Shows the progress of a training: a progress bar on a terminal, otherwise one log line per epoch."""

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

log = logging.getLogger(__name__)


def bar_options() -> dict[str, Any]:
    """Options of a rich progress bar on standard error: nothing is drawn where that is no terminal.

    Rich itself takes it for one where FORCE_COLOR is set, as notebooks and many CI services do.
    """
    return {"console": Console(stderr=True), "transient": True, "disable": not sys.stderr.isatty()}


def progress_callback(is_enabled: bool | None) -> Callback:
    """The progress bar if it is enabled and standard error is a terminal, otherwise log lines."""
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return CompactBar() if is_terminal and is_enabled is not False else EpochLines()


class EpochClock(Callback):
    """Measures the time and speed of epochs; the values of an epoch are valid until the next epoch starts."""

    def __init__(self) -> None:
        super().__init__()
        self.first_epoch = 0  # the first epoch that this process trains
        self.has_trained = False
        self.rate_before = ""
        self.num_images = 0  # of this epoch, over all processes
        self.validation_seconds = 0.0  # of this epoch
        self.training_start = self.epoch_start = self.validation_start = self.now = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rate_before = self.rate
        self.epoch_start = self.now = time.monotonic()
        self.num_images, self.validation_seconds = 0, 0.0
        if not self.has_trained:  # features may have been cached since the training started
            self.first_epoch, self.training_start = trainer.current_epoch, self.now

    on_train_start = on_train_epoch_start  # alone if the training resumes within an epoch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.num_images += len(batch[1]) * trainer.world_size
        self.has_trained = True
        self.now = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validation_start = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.now = time.monotonic()
        self.validation_seconds += self.now - self.validation_start

    @property
    def rate(self) -> str:
        """Training images per second, without validation; before the first batch, the rate of the previous epoch."""
        seconds = self.now - self.epoch_start - self.validation_seconds
        return f"{self.num_images / seconds:,.0f} images/s" if self.num_images and seconds > 0 else self.rate_before

    def left(self, num_epochs: float, max_epochs: int | None) -> str:
        """Estimated time to the end, after ``num_epochs`` (with a fraction); empty without a limit of epochs."""
        trained = num_epochs - self.first_epoch
        if trained <= 0 or max_epochs is None or max_epochs < 0:
            return ""
        seconds = (self.now - self.training_start) / trained * max(max_epochs - num_epochs, 0)
        return f"{str(timedelta(seconds=round(seconds))).removeprefix('0:')} left"


class EpochLines(EpochClock):
    """Logs one line per epoch at the start of the next epoch, when all metrics have been computed."""

    ended: int | None = None  # the epoch whose line is still to be written

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_end(trainer, pl_module)
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.ended = trainer.current_epoch

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        if self.ended is None or not trainer.is_global_zero:
            return
        parts = [title_of(self.ended, trainer.max_epochs), *metrics_of(trainer, pl_module), self.rate]
        parts += [f"{self.now - self.epoch_start:.1f} s", self.left(self.ended + 1, trainer.max_epochs)]
        log.info("%s", "  ".join(filter(None, parts)))
        self.ended = None

    on_exception = on_train_end


class CompactBar(EpochClock, ProgressBar):
    """Progress bar in one line on standard error, in the terminal's colours, removed when a stage ends."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(stderr=True)
        self.progress: Progress | None = None
        self.title, self.total, self.drawn = "", 0.0, 0.0

    def disable(self) -> None:  # on all processes but one
        self.console.quiet = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_start(trainer, pl_module)
        self.begin(title_of(trainer.current_epoch, trainer.max_epochs), self.total_train_batches)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        self.advance(batch_idx)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_start(trainer, pl_module)
        if not trainer.sanity_checking:
            self.begin("validation", sum(trainer.num_val_batches))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin("test", sum(trainer.num_test_batches))

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin("predict", sum(trainer.num_predict_batches))

    def on_validation_batch_end(self, *arguments: Any, **_: Any) -> None:
        self.advance(arguments[4])  # batch_idx

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def begin(self, title: str, total: float) -> None:
        """Start a bar in place of the previous one."""
        if self.progress is None:
            no_wrap = Column(no_wrap=True, overflow="ellipsis")
            self.progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(10, style="bright_black", complete_style="green", finished_style="green"),
                TextColumn("{task.fields[text]}", markup=False, table_column=no_wrap),
                console=self.console,
                auto_refresh=False,  # no thread: the training draws it, between two steps
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )
            self.progress.add_task("", text="")
            self.progress.start()
        self.title, self.total, self.drawn = title, total, float("-inf")
        self.advance(-1)

    def advance(self, batch_idx: int) -> None:
        """Draw the bar again, at most four times a second."""
        if self.progress is None or time.monotonic() - self.drawn < 0.25:
            return
        self.drawn, num_batches = time.monotonic(), batch_idx + 1
        total = self.total if self.total < float("inf") else None
        is_wide = self.console.width >= 110  # otherwise not all metrics have space
        parts = [f"{num_batches}/{total or '?'}"] if is_wide else []
        if self.trainer.state.fn == TrainerFn.FITTING:
            trained = self.trainer.current_epoch + (num_batches / total if total and self.trainer.training else 0)
            metrics = metrics_of(self.trainer, self.trainer.lightning_module)
            parts += [self.rate, self.left(trained, self.trainer.max_epochs), *(metrics if is_wide else metrics[1:3])]
        text, (task,) = "  ".join(filter(None, parts)), self.progress.task_ids
        self.progress.update(task, description=self.title, total=total, completed=num_batches, text=text)
        self.progress.refresh()

    def stop(self, *_: Any, **__: Any) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    on_train_end = on_exception = teardown = stop


def title_of(epoch: int, max_epochs: int | None) -> str:
    """Text such as ``epoch  3/40``, counted from 1, with the same width for all epochs."""
    limit = "" if max_epochs is None or max_epochs < 0 else str(max_epochs)
    return f"epoch {epoch + 1:{len(limit)}}/{limit}" if limit else f"epoch {epoch + 1}"


def metrics_of(trainer: Trainer, model: LightningModule) -> list[str]:
    """Texts of the latest metrics: losses, accuracy, and the monitored metric."""
    values = trainer.callback_metrics
    names = dict.fromkeys(["train/loss", "val/loss", "val/acc", str(getattr(model, "monitor", "val/loss"))])
    return [
        f"{name} {values[name].item():.1%}" if name.endswith("acc") else f"{name} {values[name].item():.4f}"
        for name in names
        if name in values
    ]
