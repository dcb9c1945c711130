"""Wrong input on the command line: one readable paragraph, status 2, no stack trace, nothing created."""

import sys
from pathlib import Path

import pytest
import torch

from {{cookiecutter.package}}.cli import main

from .conftest import Fit

MLP = "--data DigitsDataModule --model MLPClassifier "
CNN = "--data DigitsDataModule --model CNNClassifier "
TRANSFER = "--data DigitsDataModule --model TransferClassifier "

# Options, and what the message must say: the value given, what is allowed, what to do.
MISTAKES = [
    (MLP + "--modle.dropout 1", ["no option '--modle.dropout'", "Did you mean 'model.dropout'?"]),
    (MLP + "--modle 1", ["no option '--modle'", "Did you mean 'model'?"]),
    # Abbreviations are refused, and the last part of a name leads to its full name.
    (MLP + "--trainer.max_epoch 3", ["no option '--trainer.max_epoch'", "Did you mean 'trainer.max_epochs'?"]),
    (MLP + "--seed 3", ["no option '--seed'", "Did you mean 'seed_everything'?"]),
    (MLP + "--max_epochs 3", ["no option '--max_epochs'", "Did you mean 'trainer.max_epochs'?"]),
    (MLP + "--epochs 3", ["no option '--epochs'", "Did you mean 'trainer.max_epochs' or"]),
    (MLP + "--lr 0.1", ["no option '--lr'", "Did you mean 'model.optimizer.lr'?"]),
    (MLP + "--batch_size 3", ["no option '--batch_size'", "Did you mean 'data.batch_size'?"]),
    (MLP + "--resum last", ["no option '--resum'", "Did you mean 'resume'?"]),
    (MLP + "--model.lr 0.1", ["no argument 'model.lr'", "Did you mean 'model.optimizer.lr'?"]),
    (MLP + "--model cnn", ["model is 'cnn'", "'CNNClassifier'?"]),
    (MLP + "--data FashionMnist", ["data is 'FashionMnist'", "'FashionMNISTDataModule'?"]),
    (MLP + "--trainer.max_epohcs 1", ["no option '--trainer.max_epohcs'", "'trainer.max_epochs'?"]),
    (MLP + "--data DigitDataModule", ["data is 'DigitDataModule'", "'DigitsDataModule'?", "MNISTDataModule"]),
    (MLP + "--model CNNClasifier", ["model is 'CNNClasifier'", "'CNNClassifier'?", "TransferClassifier"]),
    (MLP + "--model collections.OrderedDict", ["'collections.OrderedDict'", "MLPClassifier"]),
    (MLP + "--model.hidden_sices [3]", ["'model.hidden_sices'", "'model.hidden_sizes'?"]),
    (MLP + "--model.widths [3]", ["MLPClassifier has no argument 'model.widths'"]),
    (MLP + "--model.optimizer.lrr 1", ["'model.optimizer.lrr'", "'model.optimizer.lr'?"]),
    (MLP + "--model.dropout much", ["model.dropout is 'much'", "a number"]),
    (MLP + "--data.batch_size big", ["data.batch_size is 'big'", "a whole number"]),
    (MLP + "--trainer.max_epochs long", ["trainer.max_epochs is 'long'", "a whole number of 1 or more, -1 or null"]),
    (MLP + "--model.optimizer.name lion", ["'lion'", "'sgd', 'adam', 'adamw'"]),
    (MLP + "--model.schedule.name zigzag", ["'zigzag'", "'onecycle', 'cosine', 'plateau'"]),
    (MLP + "--data.augmentation wild", ["'wild'", "'none', 'light', 'standard'"]),
    (MLP + "--monitor val/auc", ["monitor is 'val/auc'", "'val/loss', 'val/acc', 'val/balanced_acc'"]),
    (MLP + "--tracking.wandb maybe", ["tracking.wandb is 'maybe'", "'auto', 'online', 'offline', 'off'"]),
    (MLP + "--model.dropout 1.5", ["model.dropout is 1.5", "below 1"]),
    (MLP + "--model.optimizer.lr -1", ["model.optimizer.lr is -1", "above 0"]),
    (MLP + "--data.batch_size 0", ["data.batch_size is 0", "1 or more"]),
    (MLP + "--data.val_fraction 1.5", ["data.val_fraction is 1.5", "for example 0.1"]),
    (MLP + "--trainer.accelerator abacus", ["abacus", "cpu"]),
    (MLP + "--trainer.max_epochs=-1", ["trainer.max_epochs is -1", "--trainer.max_epochs 20"]),
    (MLP + "--ckpt_path nowhere.ckpt", ["'nowhere.ckpt'", "there is no such file"]),
    (MLP + "please", ["'please' is not an option"]),
    (CNN + "--model.widths [8,8,8,8]", ["4 blocks", "8 pixels allow 1 to 3"]),
    (CNN + "--model.pool min", ["model.pool is 'min'", "'average', 'max', 'none'"]),
    (CNN + "--model.activation swish", ["model.activation is 'swish'", "'relu', 'tanh', 'sigmoid', 'gelu'"]),
    (MLP + "--model.activation ReLU", ["model.activation is 'ReLU'", "'relu', 'tanh', 'sigmoid', 'gelu'"]),
    (TRANSFER + "--model.backbone resnet19", ["'resnet19'", "'resnet18'?"]),
    (TRANSFER + "--model.backbone resnet18 --model.weights nowhere.pth", ["'nowhere.pth'", "DEFAULT, package, none"]),
    (TRANSFER + "--model.backbone resnet18 --model.weights none --model.unfreeze some", ["model.unfreeze is 'some'"]),
    ("--model MLPClassifier --data ImageFolderDataModule --data.root nowhere", ["'nowhere'", "not a folder"]),
    ("--data DigitsDataModule --model lightning.pytorch.demos.boring_classes.BoringModel", ["BoringModel"]),
    ("--config configs/nowhere.yaml", ["configs/nowhere.yaml", "no such file"]),
    (MLP + "--ckpt_path last", ["--ckpt_path is 'last'", "no run in 'runs' has checkpoints/last.ckpt"]),
    (MLP + "--init_from nowhere", ["--init_from is 'nowhere'", "no such file or folder", "or last"]),
    ("", ["missing: data, model", "--config configs/digits_cnn.yaml"]),
]

# The same for what stands in a config file.
CONFIGS = [
    ("dta: {class_path: DigitsDataModule}\nmodel: MLPClassifier", ["'dta.class_path'", "'data'?"]),
    ("data: {class_path: DigitsDataModule, init_args: {batchsize: 3}}", ["'data.batchsize'", "'data.batch_size'?"]),
    ("model: {class_path: MLPClassifier, init_args: {optimizer: {nam: x}}}", ["'model.optimizer.nam'", "name'?"]),
    ("model: {class_path: MLPClassifer}", ["'MLPClassifer'", "'MLPClassifier'?"]),
    ("model: {init_args: {dropout: 0.3}}", ["model is", "Valid choices: CNNClassifier, MLPClassifier"]),
    ("data: DigitsDataModule\nmodel: MLPClassifier\ntrainer: {callbacks: Nothing}", ["trainer.callbacks", "Nothing"]),
    ("data: [", ["not valid YAML", "line 2"]),
]


def mistake(args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed on stderr for wrong arguments."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    err = capsys.readouterr().err.strip()
    line = err.splitlines()[-1]
    assert line.startswith("error: ")
    assert "Traceback" not in err
    assert len(line) < 900
    return line


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(("options", "expected"), MISTAKES, ids=[options for options, _ in MISTAKES])
def test_options(options: str, expected: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    message = mistake(["fit", *options.split(), "--tracking.wandb", "off"], capsys)
    assert [part for part in expected if part not in message] == []


@pytest.mark.usefixtures("workspace")
def test_arguments_that_the_command_line_sets_are_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    for options in (MLP + "--model.batch 1", CNN + "--model.dropuot 1", TRANSFER + "--model.lr 1", MLP + "--monitro x"):
        message = mistake(["fit", *options.split(), "--tracking.wandb", "off"], capsys)
        assert [name for name in ("model.monitor", "model.facts", "training") if name in message] == []


@pytest.mark.parametrize(("text", "expected"), CONFIGS, ids=[text for text, _ in CONFIGS])
def test_configs(text: str, expected: list[str], workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "recipe.yaml").write_text(text)
    message = mistake(["fit", "--config", "recipe.yaml"], capsys)
    assert [part for part in expected if part not in message] == []


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_no_checkpoint_given(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{verb} needs a checkpoint" in mistake([verb], capsys)


def test_checkpoint_for_other_classes(fit: Fit, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(epochs=1)
    (photos / "red").rename(photos / "rose")
    message = mistake(["test", "--ckpt_path", str(run)], capsys)
    assert "differ in class_names" in message
    assert "'red'" in message
    assert "'rose'" in message


def test_resuming_a_schedule_of_another_length(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(epochs=1)
    options = ["--config", str(run / "config.yaml"), "--ckpt_path", str(run), "--trainer.max_epochs", "5"]
    message = mistake(["fit", *options], capsys)
    assert "trainer.max_epochs is 5" in message
    assert "Resume with --trainer.max_epochs 1" in message


def test_a_checkpoint_imports_nothing(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    """`this` prints a poem when it is imported."""
    run = fit(epochs=1)
    file = run / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["bundle"]["config"]["data"]["class_path"] = "this.Zen"
    torch.save(checkpoint, file)
    assert "'this.Zen', which is not a class of this project" in mistake(["test", "--ckpt_path", str(run)], capsys)
    assert "this" not in sys.modules


def test_checkpoint_for_other_images(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(epochs=1)
    assert "differ in image_size: trained with 16, given 20" in mistake(
        ["test", "--ckpt_path", str(run), "--data.image_size", "20"], capsys
    )


def test_checkpoint_of_another_project(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": {}}, workspace / "other.ckpt")
    assert "other.ckpt" in mistake(["test", "--ckpt_path", "other.ckpt"], capsys)
    assert "other.ckpt" in mistake(["fit", *MLP.split(), "--ckpt_path", "other.ckpt"], capsys)


def test_unreadable_image(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "red" / "broken.jpg").write_text("no image")
    options = "--data ImageFolderDataModule --data.root photos --model MLPClassifier --tracking.wandb off"
    message = mistake(["fit", *options.split()], capsys)
    assert "broken.jpg" in message
    assert "--data.unreadable skip" in message


@pytest.mark.usefixtures("workspace")
def test_compiling_without_a_compiler(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    message = mistake(["fit", "--data", "DigitsDataModule", *MLP.split()[2:], "--compile", "true"], capsys)
    assert "compile is true" in message
    assert "no-such-compiler" in message
