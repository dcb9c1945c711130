"""A training that is told to stop saves first: by Ctrl-C, by SIGTERM, by a cluster that takes its machine back."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SaveWhenStopped(Callback):
    """Ends a training after the step it is in, on all processes together, with ``last.ckpt`` written.

    Whichever process is told, all hear of it at the end of the step, and raise Lightning's own flag together. Raised
    on one alone (2.6), that one leaves the step, and the others wait for it in the next. Lightning's handler itself
    would talk to them from within the signal, across what they are just exchanging; and its OnExceptionCheckpoint
    writes after any error, in the middle of a step, over a checkpoint that is good.

    A second Ctrl-C stops at once. A second SIGTERM does not: launchers repeat it, and send SIGKILL when they mean that.

    Args:
        file: the checkpoint to write.

    Attributes:
        signal: the one that was received.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.previous: dict[signal.Signals, Any] = {}
        self.signal = signal.SIGTERM
        self.is_stopping = False

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
            if trainer.world_size == 1:
                trainer._signal_connector.received_sigterm = True

        try:
            self.previous = {number: signal.signal(number, on_signal) for number in SIGNALS}
        except ValueError:  # not in the main thread, where signals do not arrive
            self.previous = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.agree(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.agree(trainer)

    def agree(self, trainer: Trainer) -> None:
        if trainer.world_size == 1:
            return
        is_told = torch.tensor([int(self.is_stopping)], device=trainer.strategy.root_device)
        torch.distributed.all_reduce(is_told, torch.distributed.ReduceOp.MAX)
        if is_told.item():
            trainer._signal_connector.received_sigterm = True

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, SIGTERMException):
            trainer.save_checkpoint(self.file)
        self.restore()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.restore()

    def restore(self) -> None:
        while self.previous:
            signal.signal(*self.previous.popitem())
