"""Checkpoints: what they contain, which are refused, and trainings from their weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import DATA_MODULES, ImageFacts
from {{cookiecutter.package}}.engine import bundles, checkpoints
from {{cookiecutter.package}}.engine.bundles import read_checkpoint
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.facts import to_plain
from {{cookiecutter.package}}.models import CLASSIFIERS, TransferClassifier

from ..conftest import Fit, write_images


def checkpoint_of(model: torch.nn.Module, hparams: dict[str, Any], name: str) -> dict[str, Any]:
    return {"hyper_parameters": hparams, "state_dict": model.state_dict(), "bundle": {"model": name}}


def test_rebuilds_without_the_file_of_weights(facts: ImageFacts, tmp_path: Path) -> None:
    """A checkpoint trained from a file of weights that is long gone."""
    model = TransferClassifier(facts, backbone="resnet18", weights="none", input_size=32)
    hparams = to_plain(dict(model.hparams)) | {"weights": str(tmp_path / "gone.pth")}
    loaded = bundles.load_classifier(checkpoint_of(model, hparams, "TransferClassifier"), CLASSIFIERS)
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(loaded(images), model.eval()(images))
    assert not loaded.training


def test_only_classes_of_the_table_are_built(facts: ImageFacts) -> None:
    model = TransferClassifier(facts, backbone="resnet18", weights="none")
    for name in ("os.system", "MLPClasifier"):
        with pytest.raises(UserError, match=rf"'{name}', which is not a class of this project.*MLPClassifier"):
            bundles.load_classifier(checkpoint_of(model, {}, name), CLASSIFIERS)


def test_data_sets_of_the_table_only() -> None:
    checkpoint = {"bundle": {"config": {"data": {"class_path": "this.Zen"}}}}
    with pytest.raises(UserError, match=r"'this\.Zen', which is not a class of this project.*DigitsDataModule"):
        bundles.data_config(checkpoint, DATA_MODULES)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.ckpt.*no such file or folder"):
        checkpoints.find_checkpoint(tmp_path / "nowhere.ckpt", "best")


def test_run_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a run directory and does not contain one"):
        checkpoints.find_checkpoint(tmp_path, "last")


class Exploit:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize("content", ["not a checkpoint", "hello", "", "0", "code"])
def test_damaged_or_dangerous(workspace: Path, content: str) -> None:
    """To the unpickler, each text is another program, and ends with another exception."""
    file = workspace / "bad.ckpt"
    file.write_text(content)
    if content == "code":
        torch.save({"bundle": Exploit()}, file)
    with pytest.raises(UserError, match=r"bad\.ckpt', which cannot be read"):
        bundles.read_checkpoint(file)
    assert not (workspace / "executed").exists()


def test_checkpoint_of_another_project(tmp_path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"other\.ckpt', which this project did not write"):
        bundles.read_checkpoint(tmp_path / "other.ckpt")


EMA = ["--averaging.ema_decay", "0.9"]


def test_the_checkpoint_holds_the_average_and_the_test_uses_it(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    plain, averaged = fit(), fit(*EMA)
    kept = read_checkpoint(averaged / "checkpoints" / "last.ckpt")
    weight = "network.0.0.weight"
    last = read_checkpoint(plain / "checkpoints" / "last.ckpt")["state_dict"][weight]
    torch.testing.assert_close(kept["current_model_state"][weight], last)  # averaging changes nothing in the training
    assert not torch.allclose(kept["state_dict"][weight], last)
    main(["validate", "--ckpt_path", str(averaged), "--trainer.enable_progress_bar", "false"])
    shown = json.loads(capsys.readouterr().out)
    best = read_checkpoint(averaged / "checkpoints" / "best.ckpt")["bundle"]["metrics"]
    assert shown["val/loss"] == pytest.approx(best["val/loss"], abs=1e-5)


def test_resuming_averaged_weights_equals_never_stopping(fit: Fit) -> None:
    options = [*EMA, "--data.augmentation", "none", "--model.schedule.name", "constant", "--model.dropout", "0"]
    options += ["--data.batch_size", "64"]  # one batch an epoch: the order of images does not matter
    whole, part = fit(*options, epochs=4), fit(*options, epochs=2)
    resumed = fit(*options, "--ckpt_path", str(Path(part, "checkpoints", "last.ckpt")), epochs=4)
    states = [read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (whole, resumed)]
    torch.testing.assert_close(*states, rtol=1e-4, atol=1e-5)


def test_wrong_decay_is_echoed(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fit("--averaging.ema_decay", "1.5")
    assert "averaging.ema_decay is 1.5; it must be a number from 0 to below 1" in capsys.readouterr().err


NOTHING = ["--model.optimizer.lr", "1e-30", "--model.optimizer.weight_decay", "0"]  # moves no weight
WEIGHTS = ("network.0.0.weight", "network.4.weight")  # a convolution's and the head's


def weights(run: Path, name: str) -> torch.Tensor:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"][name]


def test_the_same_classes_keep_everything(fit: Fit) -> None:
    first = fit("--model.optimizer.lr", "0.01")
    second = fit("--init_from", str(first), "--seed_everything", "1", *NOTHING, epochs=1)
    best = read_checkpoint(first / "checkpoints" / "best.ckpt")["state_dict"]
    for name in WEIGHTS:
        assert torch.equal(weights(second, name), best[name])
    assert read_checkpoint(second / "checkpoints" / "last.ckpt")["epoch"] == 0


def test_other_classes_get_a_new_head(fit: Fit, photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Three classes before and after, of which one is another: positions in the old head mean nothing."""
    first = fit("--model.optimizer.lr", "0.01")
    (photos / "red").rename(photos / "yellow")
    with caplog.at_level("INFO"):
        second = fit("--init_from", str(first / "checkpoints" / "best.ckpt"), *NOTHING, epochs=1)
    best = read_checkpoint(first / "checkpoints" / "best.ckpt")["state_dict"]
    assert [torch.equal(weights(second, name), best[name]) for name in WEIGHTS] == [True, False]
    said = "with a new head, because its classes (blue, green, red) differ from these (blue, green, yellow)."
    assert said in caplog.text


def test_more_classes(fit: Fit, photos: Path) -> None:
    first = fit("--model.optimizer.lr", "0.01", epochs=1)
    write_images(photos / "white", 20, (255, 255, 255))
    second = fit("--init_from", str(first), epochs=1)
    assert weights(second, "network.4.weight").shape == (4, 8)


def test_a_backbone_needs_no_other_weights(fit: Fit) -> None:
    transfer = ["--model.backbone", "mobilenet_v3_small", "--model.input_size", "32"]
    first = fit(*transfer, "--model.weights", "none", model="TransferClassifier", epochs=1)
    second = fit(*transfer, "--init_from", str(first), *NOTHING, model="TransferClassifier", epochs=1)
    name = "backbone.features.0.0.weight"
    assert torch.equal(weights(second, name), weights(first, name))


def test_another_model_is_refused(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    first = fit(epochs=1)
    with pytest.raises(SystemExit):
        fit("--init_from", str(first), "--model.widths", "[8, 16]", epochs=1)
    err = capsys.readouterr().err
    assert f"init_from is {str(first)!r}, whose CNNClassifier has other layers than this model" in err
    assert "network.1.0.weight" in err
