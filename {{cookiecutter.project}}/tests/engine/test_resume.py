"""A training that ends before its end, and goes on in its own directory: as if it had not, bit for bit."""

import csv
import json
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.engine.images import Batch
from {{cookiecutter.package}}.engine.resume import restarted_run
from {{cookiecutter.package}}.engine.run_directory import RunSettings
from {{cookiecutter.package}}.models import ImageClassifier

from ..conftest import Fit
from ..interruption import PowerCutError, assert_same, last, power_cut, signal_of, status

# 5 steps an epoch, each with augmentation and dropout.
OPTIONS = ["--data.augmentation", "standard", "--model.dropout", "0.5", "--run.directory"]


SCHEDULES = {
    "onecycle": [],
    "plateau": ["--model.schedule.name", "plateau", "--model.schedule.patience", "0"],
    "sgd": ["--model.optimizer.name", "sgd", "--early_stopping.patience", "9"],
    "averaged": ["--averaging.ema_decay", "0.9"],
    "sampler": ["--data.imbalance", "sampler", "--model.mix.name", "mixup"],
    "workers": ["--data.num_workers", "1"],
}


@pytest.mark.parametrize(
    ("kind", "epoch", "batch"),
    [(kind, 1, 1) for kind in SCHEDULES] + [("onecycle", 1, 4), ("onecycle", 2, 0), ("averaged", 0, 3)],
)
def test_stopped_within_an_epoch(
    fit: Fit, workspace: Path, interrupt: Callable[..., None], kind: str, epoch: int, batch: int
) -> None:
    whole = fit(*SCHEDULES[kind], *OPTIONS, "whole", epochs=3)
    interrupt(epoch, batch, signal_of(signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        fit(*SCHEDULES[kind], *OPTIONS, "part", epochs=3)
    assert ended.value.code == 128 + signal.SIGTERM
    reached = status(workspace / "part")
    assert (reached["state"], reached["num_epochs"]) == ("stopped", epoch + (batch == 4))
    main(["fit", "--resume", "part"])
    assert_same(workspace / "part", whole)
    assert status(workspace / "part")["state"] == "finished"


@pytest.mark.parametrize(("epoch", "batch"), [(0, 2), (1, 0), (2, 4)])
def test_killed(fit: Fit, workspace: Path, interrupt: Callable[..., None], epoch: int, batch: int) -> None:
    """Nothing is saved at that moment: the training goes on from the epoch before, or from the beginning."""
    whole = fit(*OPTIONS, "whole", epochs=3)
    interrupt(epoch, batch, power_cut)
    with pytest.raises(PowerCutError):
        fit(*OPTIONS, "part", epochs=3)
    assert status(workspace / "part")["state"] == "failed"
    main(["fit", "--resume", "part"])
    assert_same(workspace / "part", whole)


@pytest.mark.parametrize(("batch_size", "last_batch"), [("8", 4), ("1", 42)])  # one batch to validate, and two
def test_stopped_at_the_end_of_an_epoch_and_of_the_training(
    fit: Fit, workspace: Path, interrupt: Callable[..., None], batch_size: str, last_batch: int
) -> None:
    options = ["--data.batch_size", batch_size, *OPTIONS]
    whole = fit(*options, "whole", epochs=2)
    for name, epoch in (("between", 0), ("end", 1)):
        interrupt(epoch, last_batch, signal_of(signal.SIGTERM))
        with pytest.raises(SystemExit):
            fit(*options, name, epochs=2)
        main(["fit", "--resume", name])
        assert_same(workspace / name, whole)


def test_within_an_epoch_every_so_many_minutes(fit: Fit, workspace: Path, interrupt: Callable[..., None]) -> None:
    whole = fit(*OPTIONS, "whole", epochs=2)
    interrupt(1, 2, power_cut)
    with pytest.raises(PowerCutError):
        fit("--checkpoint_every_minutes", "1e-9", *OPTIONS, "part", epochs=2)
    assert last(workspace / "part")["global_step"] > 5
    main(["fit", "--resume", "part"])
    assert_same(workspace / "part", whole)


def test_stopped_many_times_within_an_epoch(fit: Fit, workspace: Path, interrupt: Callable[..., None]) -> None:
    """Images of a batch each: 20 steps an epoch, more than metrics wait for before they are added up."""
    options = ["--data.batch_size", "2"]
    whole = fit(*options, *OPTIONS, "whole", epochs=2)
    interrupt(0, 2, signal_of(signal.SIGTERM))
    with pytest.raises(SystemExit):
        fit(*options, *OPTIONS, "part", epochs=2)
    for batch in (1, 2, 17, 18):
        interrupt(1, batch, signal_of(signal.SIGTERM))
        with pytest.raises(SystemExit):
            main(["fit", "--resume", "part"])
    main(["fit", "--resume", "part"])
    assert_same(workspace / "part", whole)


def test_stopped_within_a_validation(fit: Fit, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first of its two batches, in the second of three epochs."""
    options = ["--data.batch_size", "1"]
    whole = fit(*options, *OPTIONS, "whole", epochs=3)
    validate = ImageClassifier.validation_step

    def stop(self: ImageClassifier, batch: Batch, batch_idx: int) -> None:
        validate(self, batch, batch_idx)
        if (self.current_epoch, batch_idx, self.trainer.sanity_checking) == (1, 0, False):
            signal_of(signal.SIGTERM)()

    with monkeypatch.context() as patch:
        patch.setattr(ImageClassifier, "validation_step", stop)
        with pytest.raises(SystemExit):
            fit(*options, *OPTIONS, "part", epochs=3)
    main(["fit", "--resume", "part"])
    assert_same(workspace / "part", whole)


def test_ctrl_c_and_the_run_that_is_last(
    fit: Fit, workspace: Path, interrupt: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(0, 2, signal_of(signal.SIGINT))
    with pytest.raises(SystemExit) as ended:
        fit(epochs=1)
    assert ended.value.code == 128 + signal.SIGINT
    assert "SIGINT: stopping after this step" in capsys.readouterr().out
    main(["fit", "--resume", "last"])
    (run,) = (workspace / "runs" / "image_folder_cnn").iterdir()
    assert status(run)["state"] == "finished"
    with pytest.raises(SystemExit):
        main(["fit", "--resume", "last"])
    assert "no run in 'runs' is unfinished" in capsys.readouterr().err


def test_a_run_that_was_moved(fit: Fit, workspace: Path, interrupt: Callable[..., None]) -> None:
    """Its best epoch, before the interruption, stays the best."""
    spoilt = ["--model.optimizer.lr", "0.05", "--model.schedule.name", "constant"]
    whole = fit(*spoilt, *OPTIONS, "whole", epochs=3)
    interrupt(2, 0, power_cut)
    with pytest.raises(PowerCutError):
        fit(*spoilt, *OPTIONS, "part", epochs=3)
    (workspace / "part").rename(workspace / "moved")
    main(["fit", "--resume", "moved"])
    assert_same(workspace / "moved", whole)


def test_killed_for_real(photos: Path, workspace: Path) -> None:
    """Until then no other process may train in the run's directory; from then on, any may."""
    command = [sys.executable, "-m", "{{cookiecutter.package}}", "fit"]
    options = ["--data", "ImageFolderDataModule", "--data.root", str(photos), "--data.image_size", "16"]
    options += ["--data.batch_size", "8", "--model", "CNNClassifier", "--model.widths", "[8]"]
    options += ["--trainer.accelerator", "cpu", "--tracking.wandb", "off", "--trainer.max_epochs", "40"]
    subprocess.run([*command, *options, *OPTIONS, "whole"], check=True, capture_output=True)
    process = subprocess.Popen([*command, *options, *OPTIONS, "runs/part"], stdout=subprocess.DEVNULL)
    while not (workspace / "runs" / "part" / "checkpoints" / "last.ckpt").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    before = contents(workspace / "runs" / "part")
    second = subprocess.run([*command, "--resume", "last"], check=False, capture_output=True, text=True)
    assert second.returncode == 2
    since = status(workspace / "runs" / "part")["started"][:16].replace("T", " ")
    assert (
        f"another process trains in 'runs/part': process {process.pid} on {platform.node()}, since {since} UTC. Wait "
        f"until it ends; or stop it, which saves first: kill {process.pid}. Then run this command again."
    ) in second.stderr
    assert contents(workspace / "runs" / "part") == before
    process.kill()
    process.wait()
    assert status(workspace / "runs" / "part")["state"] == "running"
    subprocess.run([*command, "--resume", "runs/part"], check=True, capture_output=True)
    assert_same(workspace / "runs" / "part", workspace / "whole")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("resume", "message"),
    [
        ("nowhere", "--resume is 'nowhere', but there is no such file or folder"),
        ("whole", "resume is 'whole', which is finished"),
        ("last", "no run in 'runs' is unfinished"),
    ],
)
def test_nothing_to_go_on_with(fit: Fit, capsys: pytest.CaptureFixture[str], resume: str, message: str) -> None:
    fit(*OPTIONS, "whole", epochs=1)
    with pytest.raises(SystemExit):
        main(["fit", "--resume", resume])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\0" * 200, b'{"state": "run', b"[]", b'{"state": "asleep"}'])
def test_a_status_that_a_power_cut_has_emptied(
    fit: Fit, interrupt: Callable[..., None], content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The checkpoint is whole, so the run goes on."""
    interrupt(1, 0, power_cut)
    with pytest.raises(PowerCutError):
        fit("--run.directory", "run")
    Path("run", "status.json").write_bytes(content)
    main(["fit", "--resume", "run"])
    assert status(Path("run"))["state"] == "finished"
    assert status(Path("run"))["num_epochs"] == 2
    assert "run/status.json' cannot be used" in caplog.text


def test_the_table_has_a_row_an_epoch(fit: Fit) -> None:
    with (fit(epochs=3) / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["epoch"], row["step"]) for row in rows] == [("0", "5"), ("1", "10"), ("2", "15")]
    assert all(all(row.values()) for row in rows)


@pytest.fixture
def job(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of job 77, and its environment."""
    assert workspace.is_dir()
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    return Path("runs", "recipe", "job-77")


def write_run(run: Path, state: str) -> None:
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").touch()
    (run / "status.json").write_text(json.dumps({"state": state}))


@pytest.mark.parametrize("state", ["running", "stopped", "failed"])
def test_it_goes_on_from_its_checkpoint(job: Path, state: str) -> None:
    write_run(job, state)
    assert restarted_run(RunSettings(), "recipe") == job


def test_it_begins_where_there_is_none(job: Path) -> None:
    (job / "checkpoints").mkdir(parents=True)
    (job / "status.json").write_text(json.dumps({"state": "running"}))
    assert restarted_run(RunSettings(), "recipe") is None


def test_without_a_launcher_nothing_is_looked_for(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(job, "stopped")
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


def test_another_number_of_processes_is_refused(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(epochs=1)
    with pytest.raises(SystemExit):
        fit("--ckpt_path", str(run), "--trainer.devices", "2", epochs=1)
    assert "the checkpoint was written by a training on 1 processes, but this one has 2" in capsys.readouterr().err
