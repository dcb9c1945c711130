"""A machine with too little memory, and a clock that jumps back."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from {{cookiecutter.package}}.files import explain

from ..conftest import Fit

LIMITED = """
import resource, sys
from pathlib import Path
from {{cookiecutter.package}}.cli import COMPANIONS, companions, main
import {{cookiecutter.package}}.fit

companions()
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**20 * int(sys.argv[1]),) * 2)
main(sys.argv[2:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and limits memory as Linux does")
@pytest.mark.parametrize("megabytes", [60, 400])
def test_too_little_memory_is_a_sentence(photos: Path, megabytes: int) -> None:
    options = ["--data", "ImageFolderDataModule", "--data.root", str(photos), "--data.image_size", "256"]
    options += ["--model", "CNNClassifier", "--model.widths", "[512]", "--data.batch_size", "32"]
    options += ["--tracking.wandb", "off"]
    words = [sys.executable, "-c", LIMITED, str(megabytes), "fit", *options, "--trainer.accelerator", "cpu"]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode in {1, 2}, result.stderr
    assert "Traceback" not in result.stderr
    assert "smaller batches or images, a smaller network or fewer workers" in result.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory: MemoryError. Use smaller batches"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory: CUDA out of memory"),
        (RuntimeError("unable to allocate shared memory(shm) for file"), "fewer workers"),
        (RuntimeError("shape mismatch"), None),
    ],
)
def test_sentences_for_lack_of_memory(error: BaseException, said: str | None) -> None:
    sentence = explain(error)
    assert sentence is None if said is None else sentence is not None and said in sentence


def test_a_clock_that_jumps_back_changes_no_result(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit("--run.directory", "whole")
    real, calls = time.time, [0]

    def jumping() -> float:
        calls[0] += 1
        return real() - 3600 * (calls[0] // 3)  # an hour, again and again

    monkeypatch.setattr(time, "time", jumping)
    part = fit("--run.directory", "part")
    assert calls[0] >= 3
    assert (part / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    assert (part / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()
    summary = json.loads((part / "summary.json").read_text())
    assert {name: value for name, value in summary.items() if "seconds" in name and value < 0} == {}
    assert json.loads((part / "status.json").read_text())["state"] == "finished"
