"""A job of torchrun or SLURM, started again: the same command goes on with the same run."""

import json
from pathlib import Path

import pytest

from {{cookiecutter.package}}.training.run_directory import RunSettings
from {{cookiecutter.package}}.verbs.resume import restarted_run

from ..conftest import Fit

pytestmark = pytest.mark.usefixtures("workspace")


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of job 77, and its environment."""
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    return Path("runs", "recipe", "job-77")


def write(run: Path, state: str) -> None:
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").touch()
    (run / "status.json").write_text(json.dumps({"state": state}))


@pytest.mark.parametrize("state", ["running", "stopped", "failed"])
def test_it_goes_on_from_its_checkpoint(job: Path, state: str) -> None:
    write(job, state)
    assert restarted_run(RunSettings(), "recipe") == job


def test_it_begins_where_there_is_none(job: Path) -> None:
    (job / "checkpoints").mkdir(parents=True)
    (job / "status.json").write_text(json.dumps({"state": "running"}))
    assert restarted_run(RunSettings(), "recipe") is None


def test_without_a_launcher_nothing_is_looked_for(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(job, "stopped")
    monkeypatch.delenv("SLURM_PROCID")
    assert restarted_run(RunSettings(), "recipe") is None


def test_finished_is_finished(fit: Fit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit("--run.name", "recipe", epochs=1)
    run.rename(run.parent / "job-77")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "77")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(SystemExit):
        fit("--run.name", "recipe", epochs=1)
    assert "the run of this job, 'runs/recipe/job-77', is finished" in capsys.readouterr().err


def test_learning_rate_and_steps_are_said_before_the_first(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        fit("--model.optimizer.lr_for_batch_size", "4", "--trainer.accumulate_grad_batches", "2")
    said = "16 images per step (8 x 2 accumulated), learning rate 0.004 (0.001 for 4), 6 steps in 2 epochs"
    assert said in caplog.text


def test_another_number_of_processes_is_refused(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(epochs=1)
    with pytest.raises(SystemExit):
        fit("--ckpt_path", str(run), "--trainer.devices", "2", epochs=1)
    assert "the checkpoint was written by a training on 1 processes, but this one has 2" in capsys.readouterr().err
