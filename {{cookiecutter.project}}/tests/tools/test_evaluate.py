import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from {{cookiecutter.package}}.cli import companions, main
from {{cookiecutter.package}}.tools.evaluate import NO_CHECKPOINT, parse

from ..conftest import Fit

CONFIGS = Path(__file__).parents[2] / "configs"
OVERLAYS = sorted(path for folder in ("trainer", "tracking") for path in (CONFIGS / folder).glob("*.yaml"))


def test_a_fresh_process_reproduces_the_accuracy_from_the_checkpoint_alone(fit: Fit, workspace: Path) -> None:
    run = fit()
    shutil.copy(run / "checkpoints" / "best.ckpt", workspace / "alone.ckpt")
    expected = json.loads((run / "summary.json").read_text())
    shutil.rmtree(workspace / "runs")
    command = [sys.executable, "-m", "{{cookiecutter.package}}", "test", "--ckpt_path", "alone.ckpt"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert f"accuracy {expected['test/acc']:.2%} on 9 test images" in result.stdout
    assert f"{expected['test/f1']:.3f}" in result.stdout


def test_validate_repeats_the_best_epoch(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit()
    main(["validate", "--ckpt", str(run), "--trainer.accelerator", "cpu"])
    out = capsys.readouterr().out
    measured = json.loads(out[out.index("{") :])
    recorded = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["bundle"]["metrics"]
    assert measured["val/loss"] == pytest.approx(recorded["val/loss"])


def test_other_images_of_the_same_classes(fit: Fit, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit()
    photos.rename(photos.with_name("moved"))
    main(["test", "--ckpt_path", str(run), "--data.root", "moved", "--trainer.accelerator", "cpu"])
    assert "on 9 test images" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["validate", "test"])
@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_evaluation_takes_the_sections_of_fit(verb: str, overlay: Path) -> None:
    words = ["--config", str(CONFIGS / "digits_mlp.yaml"), "--config", str(overlay)]
    command = parse(verb, None, NO_CHECKPOINT, words, companions())
    assert command.resolved["data"]["class_path"] == "DigitsDataModule"
