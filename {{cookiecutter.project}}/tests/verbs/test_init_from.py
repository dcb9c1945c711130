"""A new training from the weights of an earlier one."""

from pathlib import Path

import pytest
import torch

from {{cookiecutter.package}}.deployment.checkpoint import read_checkpoint

from ..conftest import Fit, write_images

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
    assert "a new head, because its classes (blue, green, red) differ from these (blue, green, yellow)." in caplog.text


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
