"""What a user sees of a training: lines in a log, one line that moves on a terminal."""

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from lightning.pytorch import LightningModule, Trainer
from rich.console import Console

from {{cookiecutter.package}}.data import DigitsDataModule
from {{cookiecutter.package}}.engine.optimization import OptimizerSettings
from {{cookiecutter.package}}.engine.progress import CompactBar, EpochClock, EpochLines, bar_options
from {{cookiecutter.package}}.models import MLPClassifier

LINE = re.compile(
    r"epoch [123]/3  train/loss \d\.\d{4}  val/loss \d\.\d{4}  val/acc \d+\.\d%"
    r"  [\d,]+ images/s  \d+\.\d s  \d\d:\d\d left"
)


def train(callback: EpochLines | CompactBar, folder: Path) -> None:
    data = DigitsDataModule(batch_size=256)
    model = MLPClassifier(data.facts, [16], optimizer=OptimizerSettings(lr=0.01))
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=isinstance(callback, CompactBar),
        callbacks=[callback],
        default_root_dir=folder,
        use_distributed_sampler=False,
    )
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)


def test_a_line_an_epoch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        train(EpochLines(), tmp_path)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("epoch ")]
    assert len(lines) == 3
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert lines[-1].endswith("00:00 left")


@pytest.mark.parametrize("columns", [80, 120])
def test_the_bar_is_one_line_and_goes_away(tmp_path: Path, columns: int) -> None:
    bar, screen = CompactBar(), io.StringIO()
    bar.console = Console(file=screen, force_terminal=True, width=columns, color_system="standard")
    train(bar, tmp_path)
    drawn = [re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", part).strip() for part in re.split(r"[\r\n]", screen.getvalue())]
    assert max(map(len, drawn)) <= columns
    assert "v_num" not in screen.getvalue()
    last_epoch = [text for text in drawn if text.startswith("epoch 3/3")]
    assert re.search(r"images/s .* left .*val/loss \d\.\d{4}  val/acc \d+\.\d%$", last_epoch[-1])
    assert ("train/loss" in last_epoch[-1]) == (columns == 120)
    assert drawn[-1] == ""  # the last bar is erased


def test_time_left_is_that_of_the_epochs_of_this_process() -> None:
    """A training that was resumed at epoch 5 of 10, and took 8 seconds for two epochs."""
    clock, trainer = EpochClock(), cast("Trainer", SimpleNamespace(current_epoch=5))
    clock.on_train_start(trainer, LightningModule())
    clock.now = clock.training_start + 8
    assert clock.left(7, 10) == "00:12 left"
    assert clock.left(7, -1) == ""


def test_no_bar_in_a_log_even_if_colours_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert bar_options()["disable"]
