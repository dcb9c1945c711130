"""What ends a training early: a signal, a loss that is infinite or NaN, or another process that has ended."""

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed

from ..errors import UserError, program_name, shown
from ..files import explain
from .private import request_stop, skip_sigterm_broadcast
from .trainer_options import trainer_settings

log = logging.getLogger(__name__)

SIGNALLED = 128  # shells report a process ended by signal N with exit status 128 + N
LOSSES = {"train/loss": "training loss", "val/loss": "validation loss"}


class DivergedError(Exception):
    """A loss of the training is infinite or NaN; the message names the loss and the epoch."""


class StopWhenDiverged(EarlyStopping):
    """Stops the training after an epoch whose loss is infinite or NaN, and does not save that epoch.

    The loss is averaged over all processes, so that all processes make the same decision.
    """

    def __init__(self, loss: str) -> None:
        # strict=False, because an epoch may have no validation loss.
        super().__init__(loss, patience=sys.maxsize, strict=False, check_finite=True, check_on_train_epoch_end=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if self.stopping_reason is EarlyStoppingReason.NON_FINITE_METRIC:
            for callback in trainer.checkpoint_callbacks:  # Lightning calls them last
                if isinstance(callback, ModelCheckpoint):
                    callback.save_top_k = 0


def require_finite_losses(trainer: Trainer) -> None:
    """Raise a DivergedError if a loss of a finished training is infinite or NaN."""
    for callback in trainer.early_stopping_callbacks:
        is_diverged = callback.stopping_reason is EarlyStoppingReason.NON_FINITE_METRIC
        if isinstance(callback, StopWhenDiverged) and is_diverged:
            value = trainer.callback_metrics[callback.monitor].item()
            raise DivergedError(f"the {LOSSES[callback.monitor]} is {value} in epoch {callback.stopped_epoch + 1}")


LOST_PROCESS = "another process of this training has ended, or cannot be reached"


def is_lost_process(error: BaseException) -> bool:
    """Whether the error means a lost connection. NCCL's errors have a type, Gloo's have only a text."""
    if not distributed.is_available():
        return False
    is_of_gloo = isinstance(error, RuntimeError) and "gloo" in str(error).lower()
    return is_of_gloo or isinstance(error, distributed.DistError)


class InterruptedTrainingError(UserError):
    """An error of the file system or of memory has ended a training, whose directory is kept, as it can continue."""


@contextmanager
def ending(run: Any, give_up: Callable[[DivergedError], None]) -> Iterator[None]:
    """Write into ``status.json`` how a training ended, say what to do next, and exit with the right status.

    ``run`` has a ``directory``, ``trainer``, ``status`` and ``stopper``; ``give_up`` is called after a divergence.
    """
    again = f"{program_name()} fit --resume {shown(run.directory)}"
    try:
        with trainer_settings():
            yield
    except SIGTERMException as stopped:
        run.status.end("stopped", f"received {run.stopper.signal.name}")
        log.info("stopped and saved a checkpoint. To continue: %s", again)
        run.trainer.strategy.barrier()  # a launcher terminates all processes once the first exits with this status
        raise SystemExit(SIGNALLED + run.stopper.signal) from stopped
    except DivergedError as diverged:
        give_up(diverged)
        run.trainer.strategy.barrier()
        raise SystemExit(1) from diverged
    except BaseException as error:
        run.status.fail(error)
        if problem := explain(error):
            raise InterruptedTrainingError(f"{problem} To continue the training: {again}") from error
        if not is_lost_process(error):
            raise
        run.status.report_lost_process(error, run.trainer)
        raise SystemExit(1) from error


class SaveWhenStopped(Callback):
    """Ends a training after the current step, on all processes together, and writes a checkpoint.

    When one process receives SIGTERM, which clusters send, or SIGINT (Ctrl-C), all processes learn of it one step
    later and stop at the same step. (Lightning 2.6 lets one process leave the loop while the others wait for it.) The
    processes ask each other asynchronously and on the CPU, so that no step waits for the answer. Lightning's
    OnExceptionCheckpoint saves after any error, in the middle of a step, and replaces a good checkpoint.

    A second Ctrl-C stops at once. A second SIGTERM does not, as launchers repeat it and send SIGKILL to end a process.
    """

    def __init__(self, file: Path) -> None:
        self.file = file  # the checkpoint to write
        self.previous: dict[signal.Signals, Any] = {}  # handlers, which ``restore`` sets again
        self.signal = signal.SIGTERM  # that was received
        self.is_stopping = self.is_deferred = False
        self.question: Question | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        def on_signal(signum: int, _: FrameType | None) -> None:
            if self.is_stopping and signum == signal.SIGINT:
                self.restore()
                raise KeyboardInterrupt
            if self.is_stopping:
                return
            self.is_stopping, self.signal = True, signal.Signals(signum)
            if trainer.is_global_zero:
                print(f"\n{self.signal.name}: stopping after this step; a second Ctrl-C stops at once", flush=True)
            if not trainer.validating:
                self.stop_alone(trainer)

        if trainer.world_size > 1:
            self.question = Question()
            skip_sigterm_broadcast(trainer)
        try:
            self.previous = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not in the main thread, where signals do not arrive
            self.previous = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.question is not None:
            if self.question.answer():
                request_stop(trainer)
            self.question.ask(self.is_stopping)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait with a stop until the validation is over: Lightning (2.6) would stop within it, and not repeat it."""
        self.is_deferred = trainer.received_sigterm
        request_stop(trainer, False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.is_deferred:
            request_stop(trainer)
        self.stop_alone(trainer)

    def stop_alone(self, trainer: Trainer) -> None:
        if self.is_stopping and trainer.world_size == 1:
            request_stop(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, SIGTERMException):
            trainer.save_checkpoint(self.file)
        self.restore()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.question is not None:
            self.question.answer()
            distributed.destroy_process_group(self.question.group)
        self.restore()

    def restore(self) -> None:
        while self.previous:
            signal.signal(*self.previous.popitem())


class Question:
    """Asks all processes whether any of them answers yes. All processes must ask equally often."""

    def __init__(self) -> None:
        self.group: Any = distributed.new_group(backend="gloo")  # apart from the strategy's group, and on the CPU
        self.is_yes = torch.zeros(1, dtype=torch.int32)
        self.work: distributed.Work | None = None

    def ask(self, is_yes: bool) -> None:
        self.is_yes.fill_(int(is_yes))
        self.work = distributed.all_reduce(self.is_yes, distributed.ReduceOp.MAX, group=self.group, async_op=True)

    def answer(self) -> bool:
        """The answer to the last question; False if there was none."""
        if self.work is None:
            return False
        self.work.wait()
        self.work = None
        return bool(self.is_yes.item())
