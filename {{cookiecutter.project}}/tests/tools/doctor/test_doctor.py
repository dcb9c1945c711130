"""What doctor prints, in which order, and what it explains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.engine.findings import refusal
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.tools.doctor.learning_rates import judge, smoothed
from {{cookiecutter.package}}.tools.doctor.machine import available_memory, declared, examine_build

from .set_ups import MLP, doctor, named

LIGHT = """
import sys
from {{cookiecutter.package}} import cli
cli.main(["doctor"])
print(sorted({"torch", "lightning", "jsonargparse", "sklearn", "wandb"} & set(sys.modules)))
"""
FIRST = """
import sys
from {{cookiecutter.package}}.tools.doctor import doctor
def stop():
    print(sorted({"torch", "lightning"} & set(sys.modules)))
    sys.exit(0)
doctor.doctor(["digits_cnn"], stop)
"""


@pytest.mark.parametrize("program", [LIGHT, FIRST])
def test_the_machine_is_checked_before_torch_is_imported(program: str, workspace: Path) -> None:
    words = [sys.executable, "-c", program]
    result = subprocess.run(words, capture_output=True, text=True, check=True, cwd=workspace)
    lines = result.stdout.splitlines()
    assert lines[0].split()[:2] == ["ok", "Python:"]
    assert [line for line in lines if " packages: " in line]
    assert lines[-1] == "[]"


def test_settings_are_explained(machine_in_order: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine_in_order / "first.yaml").write_text("model: {class_path: MLPClassifier, init_args: {dropout: 0.3}}\n")
    (machine_in_order / "second.yaml").write_text("data: DigitsDataModule\nmodel: {init_args: {dropout: 0.4}}\n")
    words = "--config first.yaml --config=second.yaml --model.dropout 0.5 --trainer.max_epochs=2"
    found = doctor(words, capsys)[1]
    settings = {setting["name"]: setting for setting in found["settings"]}
    assert settings["model.dropout"] == {
        "name": "model.dropout",
        "value": "0.5",
        "source": "command line",
        "default": "0.2",
        "replaced": ["0.3 in first.yaml", "0.4 in second.yaml"],
    }
    assert (settings["data"]["value"], settings["data"]["source"]) == ("DigitsDataModule", "second.yaml")
    assert (settings["model.hidden_sizes"]["source"], settings["monitor"]["source"]) == ("default", "default")
    main(["doctor", *words.split()])
    line = "model.dropout: 0.5 from command line (instead of 0.3 in first.yaml, 0.4 in second.yaml, default 0.2)"
    assert f"  {line}\n" in capsys.readouterr().out


@pytest.mark.usefixtures("machine_in_order")
def test_the_learning_rates_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = doctor(f"{MLP} --lr rates.png", capsys)
    assert status == 0
    assert Path("rates.png").read_bytes().startswith(b"\x89PNG")
    rates, losses = zip(*found["learning_rates"], strict=True)
    assert 1e-3 < rates[losses.index(min(losses))] < 10
    assert any("drawn in rates.png" in line for line in named(found, ["ok", "warning"]))


def test_a_learning_rate_is_judged_by_the_range_in_which_the_loss_falls() -> None:
    rates, losses = [10.0**power for power in range(-6, 2)], [2.3, 2.3, 2.2, 2.0, 1.0, 0.5, 2.0, float("nan")]
    severities = {lr: next(judge(rates, losses, lr, Path("x.png"))).severity for lr in (1e-6, 1e-3, 0.1, 1.0, 10.0)}
    assert severities == {1e-6: "warning", 1e-3: "ok", 0.1: "ok", 1.0: "warning", 10.0: "warning"}


def test_the_smoothed_loss_begins_with_the_first() -> None:
    assert list(smoothed(iter([2.0, 2.0, 1.0])))[:2] == pytest.approx([2.0, 2.0])


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([*MLP.split(), "--lr", "rates.txt"], ["--lr is 'rates.txt'", ".png"]),
        (["--lr"], ["--lr needs a training", "--config configs/digits_cnn.yaml"]),
    ],
)
def test_wrong_options_of_its_own(words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", *words])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert [part for part in parts if part not in error] == []


def test_a_refusal_says_the_same_as_fit() -> None:
    finding = refusal("data", UserError("data.root is 'x', which is not a folder. Expected ROOT/<class>/*."))
    assert finding.what == "data.root is 'x', which is not a folder"
    assert finding.remedy == "Expected ROOT/<class>/*."


def test_the_versions_are_those_of_the_project() -> None:
    pythons, requirements = declared()
    assert "3.11" in str(pythons)
    assert {"torch", "lightning", "packaging"} <= {one.name for one in requirements}
    assert next(one for one in requirements if one.name == "lightning").specifier.contains("2.6.6")
    assert not next(one for one in requirements if one.name == "lightning").specifier.contains("2.6.3")


@pytest.mark.parametrize(
    ("build", "cuda", "number"), [("cu132", (13, 0), 0), ("cu118", (12, 4), 0), ("cu132", (12, 9), 1), ("", (12, 4), 0)]
)
def test_builds_and_drivers(build: str, cuda: tuple[int, int], number: int) -> None:
    assert len(list(examine_build(build, cuda))) == number


def test_memory_is_read() -> None:
    assert available_memory() is None or available_memory() > 1e6  # type: ignore[operator]
