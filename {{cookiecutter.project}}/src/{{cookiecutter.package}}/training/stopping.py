"""A training that is told to stop saves first: by Ctrl-C, by SIGTERM, by a cluster that takes its machine back."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SaveWhenStopped(Callback):
    """Ends a training after the step it is in, on all processes together, with ``last.ckpt`` written.

    The signals go to Lightning's own flag, which rank zero tells the others of at each step. Lightning's handler itself
    would talk to them from within the signal, across what they are just exchanging; and its OnExceptionCheckpoint
    writes after any error, in the middle of a step, over a checkpoint that is good.

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
            if self.is_stopping:
                self.restore()
                raise KeyboardInterrupt
            self.is_stopping, self.signal = True, signal.Signals(signum)
            if trainer.is_global_zero:
                print(f"\n{self.signal.name}: stopping after this step; a second one stops at once", flush=True)
                trainer._signal_connector.received_sigterm = True

        try:
            self.previous = {number: signal.signal(number, on_signal) for number in SIGNALS}
        except ValueError:  # not in the main thread, where signals do not arrive
            self.previous = {}

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, SIGTERMException):
            trainer.save_checkpoint(self.file)
        self.restore()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.restore()

    def restore(self) -> None:
        while self.previous:
            signal.signal(*self.previous.popitem())
