"""Averaged weights: what is validated, kept and tested is the average, and a resumed average goes on."""

import json
from pathlib import Path

import pytest
import torch

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.deployment.checkpoint import read_checkpoint

from ..conftest import Fit

EMA = ["--averaging.ema_decay", "0.9"]


def test_the_checkpoint_holds_the_average_and_the_test_uses_it(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    plain, averaged = fit(), fit(*EMA)
    kept = read_checkpoint(averaged / "checkpoints" / "last.ckpt")
    weight = "network.0.0.weight"
    last = read_checkpoint(plain / "checkpoints" / "last.ckpt")["state_dict"][weight]
    torch.testing.assert_close(kept["current_model_state"][weight], last)  # averaging changes nothing in the training
    assert not torch.allclose(kept["state_dict"][weight], last)
    main(["validate", "--ckpt_path", str(averaged), "--trainer.enable_progress_bar", "false"])
    shown = json.loads(capsys.readouterr().out)
    best = read_checkpoint(averaged / "checkpoints" / "best.ckpt")["bundle"]["metrics"]
    assert shown["val/loss"] == pytest.approx(best["val/loss"], abs=1e-5)


def test_resuming_equals_never_stopping(fit: Fit) -> None:
    options = [*EMA, "--data.augmentation", "none", "--model.schedule.name", "constant", "--model.dropout", "0"]
    options += ["--data.batch_size", "64"]  # one batch an epoch: the order of images does not matter
    whole, part = fit(*options, epochs=4), fit(*options, epochs=2)
    resumed = fit(*options, "--ckpt_path", str(Path(part, "checkpoints", "last.ckpt")), epochs=4)
    states = [read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (whole, resumed)]
    torch.testing.assert_close(*states, rtol=1e-4, atol=1e-5)


def test_wrong_decay_is_echoed(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fit("--averaging.ema_decay", "1.5")
    assert "averaging.ema_decay is 1.5; it must be at least 0.0 and below 1.0" in capsys.readouterr().err
