"""Saves a checkpoint when a training is stopped by Ctrl-C or by SIGTERM, which clusters send."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SaveWhenStopped(Callback):
    """Ends a training after the current step, on all processes together, and writes ``last.ckpt``.

    When one process receives a signal, all processes learn of it one step later and set Lightning's flag together. If
    only one of them set it (Lightning 2.6), that process would leave the loop and the others would wait for it. The
    processes ask each other asynchronously and on the CPU, so that no step waits for the answer. Lightning's own signal
    handler would communicate from within the signal, in the middle of another exchange. Its OnExceptionCheckpoint
    saves after any error, in the middle of a step, and replaces a good checkpoint.

    A second Ctrl-C stops at once. A second SIGTERM does not, as launchers repeat it and send SIGKILL to end a process.

    Args:
        file: the checkpoint to write.

    Attributes:
        signal: the signal that was received.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.previous: dict[signal.Signals, Any] = {}
        self.signal = signal.SIGTERM
        self.is_stopping = False
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
            if trainer.world_size == 1:
                trainer._signal_connector.received_sigterm = True

        if trainer.world_size > 1:
            self.question = Question()
            # Lightning (2.6) asks rank zero at each step, and waits for all processes and the GPU.
            trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
        try:
            self.previous = {number: signal.signal(number, on_signal) for number in SIGNALS}
        except ValueError:  # not in the main thread, where signals do not arrive
            self.previous = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.question is not None:
            if self.question.answer():
                trainer._signal_connector.received_sigterm = True
            self.question.ask(self.is_stopping)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, SIGTERMException):
            trainer.save_checkpoint(self.file)
        self.restore()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.question is not None:
            self.question.answer()
            self.question.close()
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

    def close(self) -> None:
        distributed.destroy_process_group(self.group)
