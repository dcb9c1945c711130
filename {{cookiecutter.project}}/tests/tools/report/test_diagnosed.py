"""Trainings of which it is known what is the matter with them, and the name that ``fit`` gives it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from {{cookiecutter.package}}.cli import main

from ...conftest import COLOURS, write_images

CONFIGS = Path(__file__).parents[3] / "configs"
QUIET = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--tracking.wandb", "off"]
QUIET += ["--report", "false"]
FOLDER = ["--data", "ImageFolderDataModule", "--data.root", "images", "--data.image_size", "16"]
FOLDER += ["--data.augmentation", "none", "--data.cache", "memory"]
MODELS = {"mlp": ["MLPClassifier"], "cnn": ["CNNClassifier", "--model.widths", "[16,32]"]}


def diagnose(options: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line above the run directory, which is the last."""
    main(["fit", *options, *QUIET])
    *_, line, run = capsys.readouterr().out.strip().splitlines()
    assert (Path(run) / "summary.json").is_file()
    assert line.startswith("diagnosis: ")
    return line.removeprefix("diagnosis: ")


def recipe(name: str) -> list[str]:
    return ["--config", str(CONFIGS / f"{name}.yaml")]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn"])
def test_the_shipped_recipes_are_fine(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose(recipe(name), capsys) == "fine"


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("lr", "names", "better"),
    [
        ("50", ["diverged"], "5"),
        ("5", ["diverged"], "0.5"),
        ("0.5", ["unstable"], "0.167"),
        # Which of the two depends on an image or so: accuracy is just what chance explains. The advice is the same.
        ("1e-6", ["underfitted", "no better than guessing"], "1e-05"),
    ],
)
def test_learning_rates(lr: str, names: list[str], better: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = diagnose([*recipe("digits_mlp"), "--model.optimizer.lr", lr], capsys)
    assert line.partition(" (")[0] in names
    assert f"--model.optimizer.lr {better}" in line.partition("). ")[2]


@pytest.mark.usefixtures("workspace")
def test_144_images_for_200_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data.val_fraction", "0.9", "--trainer.max_epochs", "200"]
    line = diagnose([*recipe("digits_mlp"), *options], capsys)
    assert line.startswith("overfitted, more epochs than needed (training 100\N{NO-BREAK SPACE}%")


@pytest.mark.parametrize(
    ("model", "epochs", "name"),
    [("mlp", 20, "memorised"), ("cnn", 20, "memorised"), ("cnn", 3, "no better than guessing")],
)
def test_random_labels(model: str, epochs: int, name: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for label in "abcd":
        (workspace / "images" / label).mkdir(parents=True)
        for number in range(80):
            noise = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).save(workspace / "images" / label / f"{number}.png")
    options = [*FOLDER, "--model", *MODELS[model], "--trainer.max_epochs", str(epochs)]
    assert diagnose(options, capsys).partition(" (")[0] == name


def refusal(options: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["fit", *options, *QUIET])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_identical_images_are_refused(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    for label in "ab":
        (workspace / "images" / label).mkdir(parents=True)
        for number in range(20):
            image.save(workspace / "images" / label / f"{number}.png")
    message = refusal([*FOLDER, "--model", "MLPClassifier"], capsys)
    assert "all 40 images are the same file, so a model cannot learn from them" in message


@pytest.mark.parametrize("count", [2, 3])
def test_the_smallest_class_that_can_be_split(count: int, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, (name, colour) in enumerate(COLOURS.items()):
        write_images(workspace / "images" / name, count if name == "red" else 20, colour, seed)
    options = [*FOLDER, "--model", "MLPClassifier", "--trainer.max_epochs", "1"]
    if count == 2:
        message = refusal(options, capsys)
        assert "class 'red' has 2 of 42 images, and 3 are needed, one for each of train, val, test" in message
    else:
        assert diagnose(options, capsys)


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("model", "is_refused"),
    [("mlp --model.batch_norm true", True), ("mlp", False), ("cnn", False), ("cnn --model.widths [8,8,8]", True)],
)
def test_batches_of_one_image(model: str, is_refused: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """The last network's batch norm is after pooling to 1 x 1 pixel: one value a channel."""
    name, *options = model.split()
    words = ["--data", "DigitsDataModule", "--data.batch_size", "1", "--model", *MODELS[name], *options]
    words += ["--trainer.max_epochs", "1", "--trainer.max_steps", "2"]
    if is_refused:
        message = refusal(words, capsys).splitlines()[-1]
        assert message.startswith("error: data.batch_size is 1: batch norm in this model cannot be trained")
        assert "--data.batch_size 2 or more" in message
    else:
        assert diagnose(words, capsys)
