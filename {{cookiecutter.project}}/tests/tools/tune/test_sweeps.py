"""Every shipped sweep file serves both ways of searching: `tune`, and the command that W&B's agent makes of it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.distributions import CategoricalDistribution
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from {{cookiecutter.package}}.engine.record import flatten, read_run
from {{cookiecutter.package}}.fit import resolve
from {{cookiecutter.package}}.tools.tune.study import examples, shipped_params
from {{cookiecutter.package}}.tools.tune.sweep import Sweep, read_sweep
from {{cookiecutter.package}}.tools.tune.tune import require_known_options

PROJECT = Path(__file__).parents[3]
SWEEPS = sorted(Path("configs/sweep").glob("*.yaml")) or sorted(PROJECT.glob("configs/sweep/*.yaml"))
TINY = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.enable_progress_bar=false"]


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands name recipes as they are from the project's folder."""
    monkeypatch.chdir(PROJECT)


@pytest.fixture(params=SWEEPS, ids=lambda path: path.stem)
def sweep(request: pytest.FixtureRequest) -> Sweep:
    return read_sweep(request.param)


def agent_command(file: Path, drawn: dict[str, Any]) -> list[str]:
    """What W&B's agent runs for a trial: the words of `Agent._command_run`, by its own functions."""
    command = create_sweep_command(yaml.safe_load(file.read_text())["command"])
    given = create_sweep_command_args({"args": {name: {"value": value} for name, value in drawn.items()}})
    return [word for part in command for word in (given["args"] if part == "${args}" else [part])]


def drawn_by_wandb(file: Path, key: str) -> dict[str, Any]:
    """A value of each parameter, with the types of YAML: the bound `key`, or the last of the choices."""
    parameters = yaml.safe_load(file.read_text())["parameters"]
    return {name: settings.get(key, settings.get("values", [None])[-1]) for name, settings in parameters.items()}


def test_all_are_there() -> None:
    assert {path.stem for path in SWEEPS} >= {"digits_cnn", "folder_transfer"}


def test_every_parameter_is_an_option_of_fit(sweep: Sweep) -> None:
    require_known_options(sweep, sweep.options)
    assert sweep.constants == {}


def test_the_space_holds_the_recipe(sweep: Sweep) -> None:
    recipe = resolve(sweep.options)
    assert shipped_params(sweep, recipe).keys() == sweep.space.keys()
    assert recipe["monitor"] == sweep.metric
    assert sweep.min_epochs is not None
    assert sweep.min_epochs < recipe["trainer"]["max_epochs"]


def test_the_file_is_as_wandb_wants_it(sweep: Sweep) -> None:
    content = yaml.safe_load(sweep.file.read_text())
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    assert content["method"] in {"grid", "random", "bayes"}
    assert content["program"] in scripts
    assert content["command"][0] == content["program"]
    assert sweep.file.read_text().startswith("#")


@pytest.mark.parametrize("key", ["min", "max"])
def test_the_agents_options_are_those_of_tune(sweep: Sweep, key: str) -> None:
    given = resolve(agent_command(sweep.file, drawn_by_wandb(sweep.file, key))[2:])
    bounds = {"min": 0, "max": -1}
    drawn = {
        name: examples(known)[-1 if isinstance(known, CategoricalDistribution) else bounds[key]]
        for name, known in sweep.space.items()
    }
    assert dict(flatten(given)) == dict(flatten(resolve([*sweep.options, *sweep.trial_options(drawn)])))


def test_a_trial_of_the_agent_trains(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the agent does it, in a process of its own."""
    monkeypatch.chdir(PROJECT)
    file = Path("configs/sweep/digits_cnn.yaml")
    words = agent_command(file, drawn_by_wandb(file, "min") | {"compile": False, "model.optimizer.lr": 5e-05})
    assert "--compile=False" in words
    command = [sys.executable, "-m", "{{cookiecutter.package}}", *words[1:], *TINY]
    command += [f"--run.directory={workspace / 'run'}"]
    environment = os.environ | {"WANDB_MODE": "offline", "WANDB_SWEEP_ID": "abc123", "WANDB_RUN_ID": "trial7"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    run = read_run(workspace / "run")
    assert run.config["model"]["init_args"]["widths"] == [48, 96]
    assert run.config["model"]["init_args"]["optimizer"]["lr"] == 5e-05
    assert run.config["compile"] is False
    assert run.summary["num_epochs"] == 1
    assert list((workspace / "run" / "wandb").glob("offline-run-*-trial7"))
