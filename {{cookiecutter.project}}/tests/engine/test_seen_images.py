"""No number of a test comes from images that the model was trained on, without a word: tried on pure noise.

A model that knows its training images by heart is at chance on others, which here is 50 %. So any image that slips from
training into the test shows as accuracy above it.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from {{cookiecutter.package}}.cli import main

from ..interruption import PowerCutError, power_cut

MEMORISE = ["--model", "MLPClassifier", "--model.hidden_sizes", "[64]", "--model.dropout", "0"]
MEMORISE += ["--data.batch_size", "32", "--model.optimizer.lr", "0.01", "--data.augmentation", "none"]
MEMORISE += ["--trainer.max_epochs", "40"]
QUICK = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
CHANCE = 0.7  # above all that luck gives on some 45 images
KNOWN = 0.8


def write_noise(folder: Path, numbers: range) -> None:
    """Write an image of noise for each number, in one of two classes."""
    rng = np.random.default_rng(numbers.start)
    for number in numbers:
        file = folder / f"class {number % 2}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file)


def train(*options: str) -> Path:
    """Returns the directory of the new run."""
    before = set(Path("runs").rglob("config.yaml"))
    fixed = ["--data", "ImageFolderDataModule", "--data.root", "noise", "--data.image_size", "8", "--report", "false"]
    main(["fit", *fixed, *MEMORISE, *options, *QUICK, "--tracking.wandb", "off"])
    (config,) = set(Path("runs").rglob("config.yaml")) - before
    return config.parent


def last(run: Path) -> str:
    """The checkpoint that knows its training images by heart; the best one is of an early epoch."""
    return str(run / "checkpoints" / "last.ckpt")


@pytest.fixture
def noise(workspace: Path) -> Path:
    write_noise(workspace / "noise", range(300))
    return workspace / "noise"


@pytest.fixture
def memorised(noise: Path) -> Path:
    assert noise.is_dir()
    return train()


def error_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 2
    return capsys.readouterr().err


def shown(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[float, str]:
    """Accuracy of a test, and all that it prints."""
    capsys.readouterr()
    main(["test", *options, *QUICK])
    text = capsys.readouterr().out
    found = re.search(r"accuracy ([\d.]+)%", text)
    assert found
    return float(found[1]) / 100, text


def test_a_model_that_knows_its_images_is_at_chance_on_its_own_split(
    memorised: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    share, text = shown(capsys, "--ckpt", last(memorised))
    assert share < CHANCE
    assert "trained on" not in text


def test_new_images_move_none_from_training_to_test(
    memorised: Path, noise: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_noise(noise, range(1000, 1100))
    share, text = shown(capsys, "--ckpt", last(memorised))
    assert share < CHANCE
    assert "trained on" not in text
    num_images = json.loads((memorised / "summary.json").read_text())["num_test_images"]
    assert f"on {num_images} test images" not in text


@pytest.mark.parametrize("options", [("--data.split_seed", "5"), ("--data.test_fraction", "0.9")])
def test_another_split_is_refused_or_marked(
    memorised: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, str]
) -> None:
    message = error_of(capsys, "test", "--ckpt", last(memorised), *options, *QUICK)
    assert re.search(r"Of the \d+ test images \d+ were trained on and \d+ were used to choose the best epoch", message)
    assert "--allow_trained_images" in message
    share, text = shown(capsys, "--ckpt", last(memorised), *options, "--allow_trained_images")
    assert share > KNOWN
    assert "were trained on" in text


def test_validation_on_training_images_is_refused(memorised: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = error_of(capsys, "validate", "--ckpt", last(memorised), "--data.split_seed", "5", *QUICK)
    assert re.search(r"Of the \d+ validation images \d+ were trained on, so the result is too optimistic", message)
    main(["validate", "--ckpt", last(memorised), *QUICK])
    assert "trained on" not in capsys.readouterr().out


def test_a_test_folder_that_is_a_copy_of_train(
    noise: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("class 0", "class 1"):
        shutil.move(noise / name, noise / "train" / name)
    shutil.copytree(noise / "train", noise / "test")
    run = train("--report", "true")
    sentence = re.compile(r"Of the 300 test images \d+ were trained on and \d+ were used to choose the best epoch")
    assert sentence.search(caplog.text[: caplog.text.index("learning rate")]), "before the first epoch"
    assert sentence.search(capsys.readouterr().out), "beside the result"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["num_test_images_trained_on"] + summary["num_test_images_validated_on"] == 300
    assert sentence.search(" ".join((run / "report.html").read_text(encoding="utf-8").split()))
    message = error_of(capsys, "test", "--ckpt", str(run), *QUICK)
    assert sentence.search(message)
    assert "They are copies within the data set. To list them: " in message


def test_weights_of_a_training_on_the_test_images(memorised: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = ["--init_from", last(memorised), "--data.split_seed", "5", "--model.optimizer.lr", "1e-30"]
    with pytest.raises(SystemExit):
        train(*other)
    message = capsys.readouterr().err
    assert re.search(r"Of the \d+ test images \d+ were trained on.*--init_from were trained on these", message)
    run = train(*other, "--allow_trained_images", "--trainer.max_epochs", "1")
    summary = json.loads((run / "summary.json").read_text())
    assert summary["test/acc"] > KNOWN
    assert summary["num_test_images_trained_on"] > 0.7 * summary["num_test_images"]
    assert "were trained on" in summary["notes"][0]
    # What the weights have seen stays known, however many runs lie between.
    assert "were trained on" in error_of(capsys, "test", "--ckpt", str(run), *QUICK)


def test_weights_of_a_training_on_other_images_and_the_same_split(memorised: Path) -> None:
    run = train("--init_from", last(memorised), "--trainer.max_epochs", "1")
    assert json.loads((run / "summary.json").read_text())["notes"] == []


@pytest.fixture
def stopped(noise: Path, interrupt: Callable[..., None]) -> Path:
    assert noise.is_dir()
    interrupt(1, 0, power_cut)
    with pytest.raises(PowerCutError):
        train("--run.directory", "part")
    return Path("part")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.split_seed", "5"], "data.split_seed is 5, but the run has 0"),
        (["--data.test_fraction", "0.3"], "data.test_fraction is 0.3, but the run has 0.15"),
        (["--data.image_size", "16"], "data.image_size is 16, but the run has 8"),
        (["--model.hidden_sizes", "[32]"], r"model.hidden_sizes is [32], but the run has [64]"),
        (["--seed_everything", "1"], "seed_everything is 1, but the run has 0"),
        (["--model", "CNNClassifier"], "model is CNNClassifier, but the run has MLPClassifier"),
    ],
)
def test_a_run_goes_on_as_it_was(
    stopped: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    before = (stopped / "status.json").read_text()
    assert message in error_of(capsys, "fit", "--resume", str(stopped), *options)
    assert (stopped / "status.json").read_text() == before


def test_a_run_goes_on_with_the_same_images(stopped: Path, noise: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_noise(noise, range(1000, 1040))
    message = error_of(capsys, "fit", "--resume", str(stopped))
    assert re.search(r"training images differ from those of the run: \d+ are new, 0 are missing", message)
    for number in range(1000, 1040):
        (noise / f"class {number % 2}" / f"{number}.png").unlink()
    noise.rename("moved")
    main(["fit", "--resume", str(stopped), "--data.root", "moved", "--trainer.enable_progress_bar", "false"])
    assert json.loads((stopped / "status.json").read_text())["state"] == "finished"


def test_a_new_class_is_said(stopped: Path, noise: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (noise / "class 1").rename(noise / "another")
    assert "differ in class_names" in error_of(capsys, "fit", "--resume", str(stopped))


@pytest.mark.parametrize(
    ("options", "note"),
    [
        (["--trainer.limit_train_batches", "2"], "An epoch trains on at most 2 batches of the"),
        (["--trainer.limit_val_batches", "0.5"], "Validation uses at most 0.5 of the"),
        (["--trainer.limit_test_batches", "1"], "The test uses at most 1 batches of the"),
    ],
)
@pytest.mark.usefixtures("noise")
def test_what_is_used_in_part_is_said(capsys: pytest.CaptureFixture[str], options: list[str], note: str) -> None:
    run = train(*options, "--trainer.max_epochs", "1", "--data.batch_size", "2", "--report", "true")
    assert note in capsys.readouterr().out
    assert note in json.loads((run / "summary.json").read_text())["notes"][0]
    assert note in " ".join((run / "report.html").read_text(encoding="utf-8").split())


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize("limit", ["0", "0.0001"])
@pytest.mark.usefixtures("noise")
def test_nothing_at_all_is_refused(capsys: pytest.CaptureFixture[str], part: str, limit: str) -> None:
    with pytest.raises(SystemExit) as ended:
        train(f"--trainer.limit_{part}_batches", limit)
    assert ended.value.code == 2
    assert f"limit_{part}_batches" in capsys.readouterr().err


def test_a_checkpoint_of_an_older_version_cannot_tell(
    memorised: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = torch.load(last(memorised), weights_only=True)
    del checkpoint["trained_on"]
    torch.save(checkpoint, "old.ckpt")
    shown(capsys, "--ckpt", "old.ckpt", "--data.split_seed", "5")
    assert "Cannot check whether the model was trained on these images" in caplog.text
