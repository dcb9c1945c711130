"""Against the real W&B client and its service, offline; what it was told is read back from its files."""

import csv
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb
from lightning.pytorch import Callback

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.tools import tracking as wandb_logger
from {{cookiecutter.package}}.tools.tracking import sync_command

from ...conftest import Fit
from ...interruption import signal_of
from . import wandb_file

OFFLINE = ["--tracking.wandb", "offline", "--tracking.project", "colours"]
GETS_WORSE = ["--model.optimizer.lr", "1.0", "--model.schedule.name", "constant"]


@pytest.fixture(autouse=True)
def own_staging(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What W&B keeps of artifacts until they are uploaded."""
    monkeypatch.setenv("WANDB_DATA_DIR", str(workspace / "staging"))


def closed_files(run: Path, count: int = 1) -> list[Path]:
    """The ``.wandb`` files of a run, once W&B's service has written all of them."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        files = sorted((run / "wandb").glob("offline-run-*/run-*.wandb"))
        if len(files) == count and all(map(wandb_file.is_closed, files)):
            return files
        time.sleep(0.05)
    raise AssertionError(files)


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


def epochs_in(files: list[Path]) -> list[dict[str, Any]]:
    return [point for file in files for point in wandb_file.history(file) if "epoch" in point]


def assert_history_is_the_table(files: list[Path], run: Path) -> None:
    """A point an epoch, with what ``metrics.csv`` has of it."""
    points = epochs_in(files)
    assert [point["_step"] for point in points] == list(range(len(points)))
    for point, row in zip(points, rows_of(run), strict=True):
        assert point["trainer/global_step"] == int(row.pop("step"))
        assert {name: point[name] for name in row} == pytest.approx({name: float(row[name]) for name in row})


def test_a_point_an_epoch_and_the_best_as_summary(fit: Fit) -> None:
    run = fit(*OFFLINE, *GETS_WORSE, epochs=4)
    files = closed_files(run)
    assert_history_is_the_table(files, run)
    axes = {record.name or record.glob_name: record.step_metric for record in wandb_file.of_kind(files[0], "metric")}
    assert axes["val/*"] == axes["train/*"] == axes["lr/*"] == "epoch"
    best = min(rows_of(run), key=lambda row: float(row["val/loss"]))
    summary = wandb_file.summary(files[0])
    assert summary["best_epoch"] == int(best["epoch"]) < 3, "choose a rate with which the last epoch is not the best"
    assert summary["val/loss"] == pytest.approx(float(best["val/loss"]))
    assert summary["val/acc"] == pytest.approx(float(best["val/acc"]))


def test_the_whole_record_is_there(fit: Fit) -> None:
    run = fit(*OFFLINE, "--report", "true", "--tracking.tags", "[mine]", epochs=1)
    (file,) = closed_files(run)
    (started,) = wandb_file.of_kind(file, "run")
    assert sorted(started.tags) == ["CNNClassifier", "ImageFolderDataModule", "mine"]
    config = wandb_file.values(started.config.update)
    assert config["model"]["init_args"]["widths"] == [8]
    assert not [record for record in wandb_file.of_kind(file, "config") if "model" in wandb_file.values(record.update)]
    summary, written = wandb_file.summary(file), json.loads((run / "summary.json").read_text())
    assert {name: summary[name] for name in ("test/acc", "test/f1", "test/loss", "split_hash")} == {
        name: written[name] for name in ("test/acc", "test/f1", "test/loss", "split_hash")
    }
    assert summary["test/classes.nrows"] == 3
    assert summary["test/confusion_table.nrows"] == 9
    assert summary["report._type"] == "html-file"
    predictions = (run / "predictions.csv").read_text().splitlines()[1:]
    num_wrong = sum(line.split(",")[1] != line.split(",")[2] for line in predictions)
    assert summary["test/mistakes.nrows"] == num_wrong > 0
    (mistakes,) = [found for found in wandb_file.of_kind(file, "artifact") if "mistakes" in found.name]
    pictures = [entry.path for entry in mistakes.manifest.contents if entry.path.endswith(".png")]
    assert len(pictures) == num_wrong


class Notifier(Callback):
    """A team's own callback, whose argument is a secret."""

    def __init__(self, api_key: str = "") -> None:
        self.api_key = api_key


def test_no_secret_leaves_the_machine(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [f"--trainer.callbacks+={__name__}.Notifier", "--trainer.callbacks.api_key=hunter2"]
    monkeypatch.setattr(sys, "argv", ["fit", *options])
    monkeypatch.setenv("MY_VARIABLE", "hunter3")
    run = fit(*OFFLINE, *options, "--report", "true", epochs=1)
    assert "hunter2" in (run / "config.yaml").read_text()  # which stays here, so that the run can be resumed
    holding = [file for file in run.rglob("*") if file.is_file() and b"hunter" in file.read_bytes()]
    assert holding == [run / "config.yaml"]
    (record,) = [found for found in wandb_file.of_kind(closed_files(run)[0], "artifact") if found.type == "record"]
    assert "config.yaml" not in {entry.path for entry in record.manifest.contents}
    assert "***" in (run / "environment.json").read_text()


def test_artifacts(fit: Fit) -> None:
    main(["split", "photos"])
    run = fit(*OFFLINE, epochs=1)
    (file,) = closed_files(run)
    artifacts = {record.type: record for record in wandb_file.of_kind(file, "artifact")}
    contents = {kind: {entry.path: entry for entry in artifacts[kind].manifest.contents} for kind in artifacts}
    assert list(contents["dataset"]) == ["splits.csv"]
    assert sorted(artifacts["model"].aliases) == ["best", "latest"]
    assert sorted(contents["model"]) == ["best.ckpt", "last.ckpt"]
    assert Path(contents["model"]["best.ckpt"].local_path) == run / "checkpoints" / "best.ckpt"  # and no copy of it
    hashes = {json.loads(artifacts[kind].metadata)["split_hash"] for kind in ("dataset", "model")}
    assert hashes == {json.loads((run / "summary.json").read_text())["split_hash"]}
    assert {"metrics.csv", "summary.json", "config.yaml", "predictions.csv"} <= set(contents["record"])
    other = fit(*OFFLINE, "--tracking.log_model", "false", epochs=1)
    assert "model" not in {record.type for record in wandb_file.of_kind(closed_files(other)[0], "artifact")}


@pytest.mark.parametrize("batch", [1, 4])
def test_a_resumed_run_is_one_run(
    fit: Fit, workspace: Path, interrupt: Callable[..., None], capsys: pytest.CaptureFixture[str], batch: int
) -> None:
    """Stopped within an epoch, and at its very end, when W&B was not told of it yet."""
    interrupt(1, batch, signal_of(signal.SIGTERM))
    with pytest.raises(SystemExit):
        fit(*OFFLINE, "--run.directory", "it's one", epochs=3)
    time.sleep(1.1)  # W&B names folders by the second
    main(["fit", "--resume", "it's one"])
    run = workspace / "it's one"
    files = closed_files(run, count=2)
    assert len({record.run_id for file in files for record in wandb_file.of_kind(file, "run")}) == 1
    assert_history_is_the_table(files, run)
    command = sync_command(run)
    assert f"upload this run: {command}" in capsys.readouterr().out
    listed = subprocess.run(["sh", "-c", command.replace("wandb sync", "ls -d")], check=True, capture_output=True)
    assert listed.stdout.decode().split("\n")[:-1] == [os.path.relpath(file.parent) for file in files]


def services() -> list[int]:
    """W&B's processes that are this one's children."""
    found = subprocess.run(["pgrep", "-P", str(os.getpid()), "wandb-core"], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def strike_services(number: signal.Signals) -> None:
    for process in services():
        os.kill(process, number)


def told_of_wandb(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "W&B" in record.getMessage()]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_its_service_dies_or_hangs(
    fit: Fit,
    interrupt: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: signal.Signals,
) -> None:
    monkeypatch.setattr(wandb_logger, "PATIENCE", 1.0)
    interrupt(1, 2, lambda: strike_services(number))
    try:
        with caplog.at_level(logging.WARNING):
            run = fit(*OFFLINE, "--report", "true", epochs=3)
    finally:
        strike_services(signal.SIGKILL)
    assert len(rows_of(run)) == 3
    assert (run / "summary.json").is_file()
    assert (run / "report.html").is_file()
    (message,) = told_of_wandb(caplog)
    assert re.search(r"W&B failed \(.*\).*the files in .* are complete without it.*wandb sync", message)
    again = fit(*OFFLINE, epochs=1)  # with a service of its own
    assert_history_is_the_table(closed_files(again), again)


@pytest.mark.skipif(sys.platform != "linux", reason="has no prlimit")
def test_a_full_disk(fit: Fit, interrupt: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    """W&B's service alone may write no byte more: it says nothing of it itself."""
    import resource

    def fill() -> None:
        for process in services():
            resource.prlimit(process, resource.RLIMIT_FSIZE, (0, 0))

    interrupt(0, 2, fill)
    try:
        with caplog.at_level(logging.WARNING):
            run = fit(*OFFLINE, epochs=2)
    finally:
        strike_services(signal.SIGKILL)
        wandb_logger.failure(lambda: wandb.teardown(exit_code=1), seconds=2)
    assert (run / "summary.json").is_file()
    (message,) = told_of_wandb(caplog)
    assert "W&B wrote nothing" in message
    assert "is the disk full?" in message
