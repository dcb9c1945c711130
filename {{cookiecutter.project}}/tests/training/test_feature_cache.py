"""Features of a frozen backbone, computed once: faster, and otherwise the same training."""

from pathlib import Path

import pytest
import torch

from {{cookiecutter.package}}.deployment.checkpoint import read_checkpoint
from {{cookiecutter.package}}.models import TransferClassifier

from ..conftest import Fit

SMALL = ["--model.backbone", "mobilenet_v3_small", "--model.weights", "none", "--model.input_size", "32"]
PLAIN = [*SMALL, "--data.augmentation", "none"]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that go through a backbone."""
    sizes: list[int] = []
    features = TransferClassifier.features

    def counted(self: TransferClassifier, images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return features(self, images)

    monkeypatch.setattr(TransferClassifier, "features", counted)
    return sizes


def state(run: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]


def metrics(run: Path) -> str:
    return (run / "metrics.csv").read_text()


def train(fit: Fit, cache: str, *options: str, epochs: int = 4) -> Path:
    return fit(*options, "--cache_features", cache, model="TransferClassifier", epochs=epochs)


def test_the_head_is_the_one_trained_through_the_frozen_backbone(fit: Fit) -> None:
    options = [*PLAIN, "--model.head_epochs", "4"]
    cached, through = (state(train(fit, cache, *options)) for cache in ("on", "off"))
    torch.testing.assert_close(cached, through, rtol=1e-4, atol=1e-6)


def test_training_goes_on_with_images_as_if_nothing_had_been_cached(fit: Fit) -> None:
    options = [*PLAIN, "--model.head_epochs", "3", "--model.optimizer.name", "sgd"]
    cached, through = (state(train(fit, cache, *options)) for cache in ("on", "off"))
    torch.testing.assert_close(cached, through, rtol=1e-3, atol=1e-4)
    assert set(cached) == set(through)


def test_each_image_goes_through_the_backbone_once(fit: Fit, seen: list[int]) -> None:
    train(fit, "on", *PLAIN, "--model.head_epochs", "9", epochs=9)
    sanity, train_images, val_images, test_images = 8, 43, 8, 9
    record = val_images  # the best weights' outputs of the validation images
    assert sum(seen) == sanity + train_images + val_images + test_images + record


def test_views_differ_and_take_turns(fit: Fit, seen: list[int]) -> None:
    options = [*SMALL, "--model.head_epochs", "6", "--feature_views", "3"]
    train(fit, "on", *options, epochs=6)
    assert sum(seen) == 8 + 3 * 43 + 8 + 9 + 8


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_resuming_at_any_stage_equals_never_stopping(fit: Fit, stopped_after: int) -> None:
    options = [*PLAIN, "--model.head_epochs", "2", "--model.dropout", "0", "--data.batch_size", "64"]
    options += ["--model.schedule.name", "constant", "--model.optimizer.name", "sgd"]
    whole, part = train(fit, "on", *options), train(fit, "on", *options, epochs=stopped_after)
    resumed = train(fit, "on", *options, "--ckpt_path", str(part / "checkpoints" / "last.ckpt"))
    torch.testing.assert_close(state(whole), state(resumed), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--model.head_epochs", "1"], "the backbone is frozen for one epoch only"),
        (
            ["--model.head_epochs", "4", "--data.augmentation", "light"],
            "4 epochs with a frozen backbone are too few for 2 augmented views",
        ),
        (["--model.head_epochs", "4", "--data.num_workers", "1"], "workers load the images"),
        (["--model.head_epochs", "4", "--model.mix.name", "mixup"], "images are mixed"),
    ],
)
def test_auto_says_why_not(fit: Fit, caplog: pytest.LogCaptureFixture, options: list[str], reason: str) -> None:
    with caplog.at_level("INFO"):
        train(fit, "auto", *PLAIN, *options)
    assert f"Backbone features are not cached: {reason}." in caplog.messages


def test_auto_says_that_it_does(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        train(fit, "auto", *PLAIN, "--model.head_epochs", "4")
    assert "Caching backbone features of 51 images." in caplog.messages


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.mix.name", "mixup"], "cache_features is on, but images are mixed. Give --model.mix.name none"),
        (["--data.num_workers", "1"], "workers load the images. Give --data.num_workers 0"),
        (["--feature_views", "0"], "feature_views is 0; it must be 1 or more"),
    ],
)
def test_on_that_cannot_be_is_refused(
    fit: Fit, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        train(fit, "on", *PLAIN, "--model.head_epochs", "4", *options)
    assert message in capsys.readouterr().err
