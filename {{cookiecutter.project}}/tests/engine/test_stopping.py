"""A loss that is not a number ends a training: on one process and on two, with files that any JSON parser reads."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from {{cookiecutter.package}} import fit as fit_verb
from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.engine.summary import strict_json

from ..conftest import Fit
from .test_processes import SECONDS, environment

OPTIONS = ["--data", "DigitsDataModule", "--model", "MLPClassifier", "--model.optimizer.name", "sgd"]
OPTIONS += ["--model.optimizer.lr", "1e9", "--trainer.max_epochs", "5", "--trainer.accelerator", "cpu"]
OPTIONS += ["--trainer.enable_progress_bar", "false", "--tracking.wandb", "off", "--run.directory", "run"]


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def read(file: Path) -> Any:
    return json.loads(file.read_text(), parse_constant=refuse)


def assert_failed(run: Path) -> None:
    """One epoch, a status, a report, and nothing that a finished training has."""
    with (run / "metrics.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 1
    status = read(run / "status.json")
    assert (status["state"], status["num_epochs"]) == ("failed", 1)
    assert status["reason"].startswith("diverged: the training loss is nan in epoch 1")
    assert "Diagnosis: <strong>diverged</strong>" in " ".join((run / "report.html").read_text().split())
    assert not (run / "summary.json").exists()
    assert not list(run.rglob("*.ckpt"))


@pytest.mark.parametrize("early_stopping", [[], ["--early_stopping.patience", "5"]])
def test_ends_at_that_epoch_and_says_what_to_do(
    workspace: Path, early_stopping: list[str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", *OPTIONS, *early_stopping])
    assert stop.value.code == 1
    assert_failed(workspace / "run")
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 1
    assert said[0].startswith("diverged: the training loss is nan in epoch 1, so the training was stopped; try a tenth")
    assert said[0].endswith("fit --config run/config.yaml --model.optimizer.lr 1e+08")
    output = caplog.text + capsys.readouterr().out
    assert "restored" not in output
    assert "Traceback" not in output
    page = (workspace / "run" / "report.html").read_text()
    assert "by early stopping" not in page


def test_on_two_processes(workspace: Path) -> None:
    words = [sys.executable, "-m", "{{cookiecutter.package}}", "fit", *OPTIONS, "--trainer.devices", "2"]
    ended = subprocess.run(
        words, cwd=workspace, env=environment(), capture_output=True, text=True, timeout=3 * SECONDS, check=False
    )
    assert ended.returncode == 1, ended.stderr
    assert_failed(workspace / "run")
    assert ended.stderr.count("diverged: ") == 1
    assert "Traceback" not in ended.stderr


def test_epochs_before_are_kept(fit: Fit, workspace: Path, interrupt: Any) -> None:
    """A rate that is fine, and weights that are ruined in the third epoch."""
    models: list[Any] = []
    build = fit_verb.build

    def remember(*arguments: Any) -> Any:
        built = build(*arguments)
        models.append(built[1])
        return built

    def ruin() -> None:
        next(models[0].parameters()).data.fill_(float("nan"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_verb, "build", remember)
        interrupt(2, 1, ruin)
        with pytest.raises(SystemExit) as stop:
            fit("--run.directory", "run", epochs=5)
    assert stop.value.code == 1
    assert read(workspace / "run" / "status.json")["reason"] == "diverged: the training loss is nan in epoch 3"
    for file in (workspace / "run" / "checkpoints").iterdir():
        checkpoint = torch.load(file, weights_only=True)
        assert checkpoint["epoch"] <= 1
        assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())


def test_numbers_that_json_does_not_have_are_null() -> None:
    text = strict_json({"best": float("inf"), "test/classes": [{"f1": float("nan")}], "test/acc": 0.5, "epochs": 3})
    assert json.loads(text) == {"best": None, "test/classes": [{"f1": None}], "test/acc": 0.5, "epochs": 3}
