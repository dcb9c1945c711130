"""Against the real W&B client, offline."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.tools.tracking import COMPANION, TrackingSettings, wandb_mode

from ...conftest import Fit


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Until W&B's service has written what it was told, which it does behind ``finish`` while the process lives."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_offline_without_a_login(fit: Fit) -> None:
    run = fit("--tracking.wandb", "auto", "--tracking.project", "colours", epochs=1)
    (file,) = (run / "wandb").glob("offline-run-*/run-*.wandb")
    wait_for(lambda: b"val/acc" in file.read_bytes())


@pytest.mark.usefixtures("photos")
def test_the_upload_command_is_printed() -> None:
    command = [sys.executable, "-m", "{{cookiecutter.package}}", "fit", "--data", "ImageFolderDataModule"]
    command += ["--data.root", "photos", "--data.image_size", "16", "--model", "MLPClassifier"]
    result = subprocess.run([*command, "--trainer.max_epochs", "1"], capture_output=True, text=True, timeout=300)
    lines = result.stdout.strip().splitlines()
    assert result.returncode == 0, result.stderr
    assert "wandb sync runs/image_folder_mlp/" in lines[-3]
    assert len(list(Path().glob(lines[-3].split("wandb sync ")[1]))) == 1
    assert Path(lines[-1], "summary.json").is_file()


def test_the_file_of_the_project_holds_in_every_folder(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logged in, and W&B switched off in the project: nothing may be uploaded from a folder within or beside it."""
    monkeypatch.setenv("WANDB_API_KEY", 40 * "0")
    (workspace / "project" / "configs" / "tracking").mkdir(parents=True)
    (workspace / "project" / "configs" / "tracking" / "wandb.yaml").write_text("tracking: {wandb: 'off'}\n")
    (workspace / "project" / "configs" / "mine.yaml").write_text("monitor: val/acc\n")
    (workspace / "project" / "notebooks").mkdir()
    options = ["--trainer.max_epochs=1", "--report=false", "--trainer.accelerator=cpu"]
    options += ["--data=DigitsDataModule", "--model=MLPClassifier"]
    for folder, more in (("project/notebooks", []), (".", ["--config=project/configs/mine.yaml"])):
        monkeypatch.chdir(workspace / folder)
        main(["fit", *options, *more])
        (run,) = Path("runs/digits_mlp").iterdir()
        assert not (run / "wandb").exists()


def test_asks_nobody(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wandb_mode(TrackingSettings()) == "offline"
    (workspace / "netrc").write_text("machine api.wandb.ai login user password 0123456789")
    monkeypatch.setenv("NETRC", str(workspace / "netrc"))
    assert wandb_mode(TrackingSettings()) == "online"
    monkeypatch.setenv("NETRC", str(workspace / "none"))
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert wandb_mode(TrackingSettings()) == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode(TrackingSettings()) == "off"
    assert wandb_mode(TrackingSettings(wandb="offline")) == "offline"


def test_a_search_is_not_tracked_unless_asked_for() -> None:
    assert COMPANION.trial_options("sweep", []) == ["--tracking.wandb=off"]
    assert COMPANION.trial_options("sweep", ["--tracking.wandb", "online"]) == ["--tracking.group=tune-sweep"]


@pytest.mark.parametrize("failure", ["missing", "refuses"])
def test_a_training_survives_wandb(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: str
) -> None:
    if failure == "missing":
        monkeypatch.setitem(sys.modules, "wandb", None)  # makes `import wandb` raise ImportError
    options = ["--tracking.tags", "[" + 65 * "x" + "]"] if failure == "refuses" else []  # W&B takes tags of up to 64
    with caplog.at_level(logging.WARNING):
        run = fit("--tracking.wandb", "offline", *options, epochs=1)
    assert (run / "summary.json").is_file()
    assert "W&B does not work" in caplog.text
    assert "metrics.csv only" in caplog.text
