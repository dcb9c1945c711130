"""Trainings that are interrupted, and how they compare with those that are not."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from {{cookiecutter.package}}.engine.bundles import read_checkpoint


def last(run: Path) -> dict[str, Any]:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")


def status(run: Path) -> dict[str, Any]:
    return json.loads((run / "status.json").read_text())


def table(run: Path) -> str:
    return (run / "metrics.csv").read_text()


def assert_same(run: Path, whole: Path) -> None:
    """Weights, optimizer, schedule, metrics and predictions."""
    one, other = last(run), last(whole)
    assert_equal(one["state_dict"], other["state_dict"])
    assert_equal(one["optimizer_states"][0]["state"], other["optimizer_states"][0]["state"])
    assert one["lr_schedulers"] == other["lr_schedulers"]
    assert one["global_step"] == other["global_step"]
    best = [read_checkpoint(one / "checkpoints" / "best.ckpt") for one in (run, whole)]
    assert_equal(best[0]["state_dict"], best[1]["state_dict"])
    assert table(run) == table(whole)
    assert (run / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()


def assert_equal(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


class Interruption(Callback):
    """Ends the process' training with a signal, or with an error as a power cut would, at one moment."""

    def __init__(self, epoch: int, batch: int, strike: Callable[[], None]) -> None:
        self.moment = (epoch, batch)
        self.strike = strike

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) == self.moment:
            self.strike()


class PowerCutError(Exception):
    pass


def power_cut() -> None:
    raise PowerCutError


def signal_of(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)
