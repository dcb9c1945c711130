"""The config of a run or checkpoint from a stranger: what it names is not imported."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import DATA_MODULES
from {{cookiecutter.package}}.engine.named_classes import unknown_names
from {{cookiecutter.package}}.models import CLASSIFIERS

from ..interruption import Interruption, PowerCutError, power_cut

CALLBACKS = "lightning.pytorch.callbacks"
TABLES: Any = {"data": DATA_MODULES, "model": CLASSIFIERS}


def named(path: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": path, "init_args": arguments}


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"data": named("DigitsDataModule", batch_size=3)}, []),
        ({"data": named("this.Zen")}, ["this.Zen"]),
        ({"data": "this.yaml"}, ["this.yaml"]),
        ({"data": named("DigitsDataModule", batch_size=named("this.Zen"))}, ["this.Zen"]),
        ({"model": named("MLPClassifier", optimizer={"name": named("this.Zen")})}, ["this.Zen"]),
        ({"trainer": {"callbacks": [named("lightning.pytorch.callbacks.Timer", duration="00:00:01:00")]}}, []),
        ({"trainer": {"callbacks": [named("Timer"), "RichProgressBar"], "strategy": "ddp", "logger": None}}, []),
        ({"trainer": {"strategy": named("lightning.pytorch.strategies.DDPStrategy")}}, []),
        ({"trainer": {"callbacks": named("this.Zen")}}, ["this.Zen"]),
        ({"trainer": {"callbacks": ["this.Zen"]}}, ["this.Zen"]),
        ({"trainer": {"callbacks": "this.yaml"}}, ["this.yaml"]),
        ({"trainer": {"callbacks": named("evil.lightning.pytorch.callbacks.Timer")}}, [f"evil.{CALLBACKS}.Timer"]),
        ({"trainer": {"callbacks": named("LambdaCallback", on_fit_start="os.abort")}}, ["os.abort"]),
        ({"trainer": {"callbacks": named("Timer", duration=named("this.Zen"))}}, ["this.Zen"]),
        ({"trainer": {"callbacks": [{"class_path": "Timer", "init_args": "x.yaml"}]}}, ["x.yaml"]),
        ({"trainer": {"logger": named("WandbLogger")}}, ["WandbLogger"]),
        ({"trainer": {"strategy": "this.Zen"}}, ["this.Zen"]),
        ({"config": "other.yaml"}, ["other.yaml"]),
        ({"early_stopping": {"patience": named("this.Zen")}}, ["this.Zen"]),
    ],
)
def test_names(config: dict[str, Any], names: list[str]) -> None:
    assert [name for _, name in unknown_names(config, TABLES)] == names


def test_resuming_a_run_of_a_stranger(interrupt: Any, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`this` prints a poem when it is imported; a callback in a module of this folder is the user's own."""
    interrupt(1, 0, power_cut)
    words = "--data DigitsDataModule --model MLPClassifier --model.hidden_sizes [8] --trainer.max_epochs 2"
    with pytest.raises(PowerCutError):
        main(["fit", *words.split(), "--tracking.wandb", "off", "--report", "false", "--run.directory", "run"])
    file = workspace / "run" / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["trainer"]["callbacks"] = [named("this.Zen")]
    file.write_text(yaml.safe_dump(config))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["fit", "--resume", "run"])
    message = capsys.readouterr().err.splitlines()[-1]
    assert "'run/config.yaml' names 'this.Zen' in trainer.callbacks, which is neither in a table" in message
    assert "this" not in sys.modules
    # The command that the message gives makes the file the user's own.
    command = re.search(r"fit (--resume run --config run/config\.yaml)", message)
    assert command
    config["trainer"]["callbacks"] = [named(f"{Interruption.__module__}.Interruption", epoch=9, batch=9, strike=None)]
    file.write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit):
        main(["fit", "--resume", "run"])
    assert "Interruption' in trainer.callbacks" in capsys.readouterr().err
    config["trainer"]["callbacks"] = [named("ModelSummary", max_depth=1)]
    file.write_text(yaml.safe_dump(config))
    main(["fit", *command[1].split()])
    assert capsys.readouterr().out.splitlines()[-1] == "run"
