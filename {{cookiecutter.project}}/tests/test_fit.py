"""The whole way, through the real entry point."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.engine.bundles import load_classifier, read_checkpoint
from {{cookiecutter.package}}.engine.command_line import COMPILERS
from {{cookiecutter.package}}.models import CLASSIFIERS

from .conftest import Fit

RECORD = {
    ".lock",
    "checkpoints",
    "config.yaml",
    "environment.json",
    "metrics.csv",
    "outputs.npz",
    "predictions.csv",
    "report.html",
    "status.json",
    "summary.json",
}


def summary(run: Path) -> dict[str, object]:
    return json.loads((run / "summary.json").read_text())


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("model", ["MLPClassifier", "CNNClassifier"])
def test_leaves_a_complete_record(fit: Fit, workspace: Path, model: str) -> None:
    run = fit("--report", "true", model=model)
    assert run.parent == workspace / "runs" / f"image_folder_{model.removesuffix('Classifier').lower()}"
    assert {path.name for path in run.iterdir()} == RECORD
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    facts = summary(run)
    assert facts["model"] == model
    assert facts["num_test_images"] == 9
    assert facts["num_epochs"] == 2
    assert sum(result["num_images"] for result in facts["test/classes"]) == 9  # type: ignore[attr-defined]
    columns = {name for row in metrics(run) for name, value in row.items() if value}
    assert {"train/loss", "train/acc", "val/loss", "val/acc", "val/f1", "lr/network"} <= columns


def test_learns_colours(fit: Fit) -> None:
    run = fit("--model.optimizer.lr", "0.01", epochs=8)
    assert summary(run)["test/acc"] == 1.0


def test_same_seed_same_numbers(fit: Fit) -> None:
    seconds = {"seconds", "milliseconds_per_image"}
    first, second, third = (fit("--seed_everything", seed) for seed in ("1", "1", "2"))
    assert metrics(first) == metrics(second) != metrics(third)
    assert {k: v for k, v in summary(first).items() if k not in seconds} == {
        k: v for k, v in summary(second).items() if k not in seconds
    }


def test_resolved_config_repeats_the_run(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit()
    main(["fit", "--config", str(run / "config.yaml")])
    again = Path(capsys.readouterr().out.strip().splitlines()[-1])
    assert metrics(run) == metrics(again)
    assert again.parent.name == run.parent.name


def test_ends_with_the_best_weights(fit: Fit) -> None:
    """A learning rate that ruins the second epoch: the result is the first epoch's."""
    options = ["--model.optimizer.lr", "0.003", "--model.schedule.name", "step", "--model.schedule.step_epochs", "1"]
    run = fit(*options, "--model.schedule.factor", "0.99", "--early_stopping.patience", "2", epochs=12)
    rows = [row for row in metrics(run) if row["val/loss"]]
    losses = [float(row["val/loss"]) for row in rows]
    best = read_checkpoint(run / "checkpoints" / "best.ckpt")
    assert best["bundle"]["metrics"]["val/loss"] == pytest.approx(min(losses))
    assert summary(run)["best"] == pytest.approx(min(losses))
    assert best["epoch"] == losses.index(min(losses))


def test_every_checkpoint_is_plain_data(fit: Fit) -> None:
    for path in (fit() / "checkpoints").iterdir():
        checkpoint = torch.load(path, weights_only=True)
        assert json.dumps(checkpoint["hyper_parameters"])
        assert json.dumps(checkpoint["bundle"])
        assert checkpoint["bundle"]["split_hash"] == summary(path.parents[1])["split_hash"]
        assert load_classifier(checkpoint, CLASSIFIERS).facts.class_names == ["blue", "green", "red"]


def test_resumes_where_it_stopped(fit: Fit) -> None:
    """Three epochs, against two and a third one: the same step and epoch."""
    constant = ["--model.schedule.name", "constant"]
    whole = fit(*constant, epochs=3)
    part = fit(*constant, epochs=2)
    resumed = fit(*constant, "--ckpt_path", str(part), epochs=3)
    left, right = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, resumed))
    assert right["global_step"] == left["global_step"] == 15
    assert right["epoch"] == 2


def test_overlays_win_over_the_recipe(fit: Fit, workspace: Path) -> None:
    (workspace / "overlay.yaml").write_text("data: {batch_size: 4}\ntrainer: {max_epochs: 1}\n")
    run = fit("--config", "overlay.yaml")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["data"]["init_args"]["batch_size"] == 4
    assert run.parent.name == "overlay"


def test_a_run_with_overlays_only_is_named_after_its_classes(fit: Fit, workspace: Path) -> None:
    (workspace / "none.yaml").write_text("tracking: {wandb: 'off'}\n")
    assert fit("--config", "none.yaml", epochs=1).parent.name == "image_folder_cnn"
    (workspace / "recipe.yaml").write_text("model: {class_path: CNNClassifier}\n")
    assert fit("--config", "none.yaml", "--config=recipe.yaml", epochs=1).parent.name == "recipe"


def test_a_run_is_named_by_its_folder_or_as_the_last(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    fit(epochs=1)
    newest = fit(epochs=1)
    for name in ("last", "runs/image_folder_cnn", str(newest)):
        main(["test", "--ckpt", name, "--trainer.accelerator", "cpu"])
        assert "on 9 test images" in capsys.readouterr().out
        main(["report", name])
        assert Path(capsys.readouterr().out.strip()).absolute() == newest / "report.html"
    main(["predict", "--ckpt", "last", "photos/red"])
    main(["compare", "last", "--output", "last.html"])
    assert read_checkpoint(fit("--init_from", "runs", epochs=1) / "checkpoints" / "last.ckpt")["epoch"] == 0


def test_a_callback_whose_default_is_an_enum(fit: Fit) -> None:
    timer = {"class_path": "Timer", "init_args": {"duration": "00:00:10:00"}}
    run = fit("--trainer.callbacks", json.dumps([timer]))
    (recorded,) = yaml.safe_load((run / "config.yaml").read_text())["trainer"]["callbacks"]
    assert recorded["init_args"]["interval"] == "step"


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "plateau", "step", "constant"])
def test_every_schedule_trains_and_resumes(fit: Fit, schedule: str) -> None:
    options = ["--model.schedule.name", schedule, "--model.optimizer.gradient_clip_norm", "1.0"]
    run = fit(*options, epochs=2)
    again = fit(*options, "--ckpt_path", str(run / "checkpoints" / "last.ckpt"), epochs=2)
    assert summary(again)["num_epochs"] == 2


@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="torch.compile needs a C++ compiler")
def test_compiled_training_is_the_same_training(fit: Fit) -> None:
    options = ["--model.dropout", "0"]  # a compiled dropout draws other numbers
    plain, compiled = (fit(*options, *more, model="MLPClassifier") for more in ([], ["--compile", "true"]))
    states = [read_checkpoint(run / "checkpoints" / "best.ckpt")["state_dict"] for run in (plain, compiled)]
    assert list(states[0]) == list(states[1])
    torch.testing.assert_close(*states, rtol=1e-3, atol=1e-4)
    main(["test", "--ckpt_path", str(plain), "--compile", "true"])
