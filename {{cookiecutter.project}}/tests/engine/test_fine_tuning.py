"""Staged fine-tuning: which weights move when, under resume and on two processes, with and without cached features."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from {{cookiecutter.package}}.engine.bundles import read_checkpoint
from {{cookiecutter.package}}.models import ImageClassifier, TransferClassifier

from ..conftest import Fit

STAGED = ["--model.backbone", "mobilenet_v3_small", "--model.weights", "none", "--model.input_size", "32"]


def state(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], prefix: str) -> set[str]:
    return {name for name in before if name.startswith(prefix) and not torch.equal(before[name], after[name])}


@pytest.fixture
def initial(fit: Fit) -> dict[str, torch.Tensor]:
    """The backbone before any step: a training whose learning rate moves nothing."""
    nothing = ["--model.optimizer.lr", "1e-30", "--model.unfreeze", "none"]
    return state(fit(*STAGED, *nothing, model="TransferClassifier", epochs=1))


def test_frozen_weights_and_buffers_do_not_move(fit: Fit, initial: dict[str, torch.Tensor]) -> None:
    run = fit(*STAGED, "--model.head_epochs", "2", model="TransferClassifier")
    assert moved(initial, state(run), "backbone.") == set()
    assert moved(initial, state(run), "head.") == {"head.1.weight", "head.1.bias"}


def test_unfrozen_weights_and_buffers_move(fit: Fit, initial: dict[str, torch.Tensor]) -> None:
    run = fit(*STAGED, "--model.head_epochs", "1", model="TransferClassifier")
    after = moved(initial, state(run), "backbone.")
    assert any(name.endswith("running_mean") for name in after)
    weights = {name for name in initial if name.startswith("backbone.") and name.endswith("weight")}
    assert weights <= after


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_resuming_at_any_stage_equals_never_stopping(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, stopped_after: int
) -> None:
    """Four epochs, the backbone unfrozen in the third; stopped before, at and after that."""
    maps: list[dict[str, bool]] = []
    freeze = ImageClassifier.freeze_for_epoch

    def recording(self: ImageClassifier, epoch: int) -> None:
        freeze(self, epoch)
        maps.append({name: parameter.requires_grad for name, parameter in self.named_parameters()})

    monkeypatch.setattr(ImageClassifier, "freeze_for_epoch", recording)
    options = [*STAGED, "--model.head_epochs", "2", "--model.unfreeze", "3", "--model.layer_decay", "0.7"]
    options += ["--model.schedule.name", "step", "--model.schedule.step_epochs", "1"]
    whole = fit(*options, model="TransferClassifier", epochs=4)
    of_whole = maps[-1]
    part = fit(*options, model="TransferClassifier", epochs=stopped_after)
    last = str(part / "checkpoints" / "last.ckpt")
    resumed = fit(*options, "--ckpt_path", last, model="TransferClassifier", epochs=4)
    checkpoints = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, resumed)]
    assert maps[-1] == of_whole
    assert set(of_whole.values()) == {True, False}
    assert all(torch.equal(checkpoints[1]["state_dict"][name], t) for name, t in checkpoints[0]["state_dict"].items())
    rates = [[group["lr"] for group in c["optimizer_states"][0]["param_groups"]] for c in checkpoints]
    assert rates[0] == rates[1]
    steps = [{int(p["step"]) for p in c["optimizer_states"][0]["state"].values()} for c in checkpoints]
    assert steps[0] == steps[1] == {10, 20}  # 5 steps an epoch: backbone in two of them, head in all


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "plateau", "step", "constant"])
def test_every_schedule_crosses_the_boundary(fit: Fit, schedule: str) -> None:
    """Learning rates are those of a training that freezes nothing; the backbone's keep their share of the head's."""
    options = [*STAGED, "--model.schedule.name", schedule, "--model.schedule.step_epochs", "1"]
    options += ["--model.optimizer.lr", "1e-9", "--model.schedule.patience", "0"]  # nothing is learnt: plateaus drop
    rates = []
    for head_epochs in ("2", "0"):
        run = fit(*options, "--model.head_epochs", head_epochs, model="TransferClassifier", epochs=4)
        with (run / "metrics.csv").open() as stream:
            rates.append([(float(row["lr/backbone"]), float(row["lr/head"])) for row in csv.DictReader(stream)])
    assert len(rates[0]) == 4
    assert all(backbone == pytest.approx(0.1 * head) for backbone, head in rates[0])
    if schedule != "plateau":  # which depends on what is learnt
        assert rates[0] == rates[1]


COMPARE_RANKS = """
import sys

import torch
from lightning.pytorch import Callback
from {{cookiecutter.package}}.cli import main


class CompareRanks(Callback):
    def on_train_end(self, trainer, pl_module):
        weights = torch.cat([parameter.detach().flatten() for parameter in pl_module.parameters()])
        ranks = pl_module.all_gather(weights)
        if trainer.is_global_zero:
            print("same weights:", len(ranks) == 2 and torch.equal(ranks[0], ranks[1]))


main(sys.argv[1:])
"""


def test_two_processes_hold_the_same_weights(photos: Path) -> None:
    """Across the unfreezing, each process trains on other images; a parameter left out of DDP would drift apart."""
    script = photos.parent / "compare_ranks.py"
    script.write_text(COMPARE_RANKS)
    command = [sys.executable, str(script), "fit", "--data", "ImageFolderDataModule", "--data.root", str(photos)]
    command += ["--data.image_size", "16", "--data.batch_size", "4", "--model", "TransferClassifier", *STAGED]
    command += ["--model.head_epochs", "1", "--trainer.max_epochs", "2", "--trainer.callbacks", "CompareRanks"]
    command += ["--trainer.accelerator", "cpu", "--trainer.devices", "2"]
    result = subprocess.run([*command, "--tracking.wandb", "off"], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "same weights: True" in result.stdout
    run = Path(result.stdout.strip().splitlines()[-1])
    assert len(list(run.parent.iterdir())) == 1  # one run directory for both
    assert json.loads((run / "summary.json").read_text())["num_test_images"] == 9  # none counted twice


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


def state_of(run: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]


def metrics(run: Path) -> str:
    return (run / "metrics.csv").read_text()


def train_cached(fit: Fit, cache: str, *options: str, epochs: int = 4) -> Path:
    return fit(*options, "--cache_features", cache, model="TransferClassifier", epochs=epochs)


def test_the_head_is_the_one_trained_through_the_frozen_backbone(fit: Fit) -> None:
    options = [*PLAIN, "--model.head_epochs", "4"]
    cached, through = (state_of(train_cached(fit, cache, *options)) for cache in ("on", "off"))
    torch.testing.assert_close(cached, through, rtol=1e-4, atol=1e-6)


def test_training_goes_on_with_images_as_if_nothing_had_been_cached(fit: Fit) -> None:
    options = [*PLAIN, "--model.head_epochs", "3", "--model.optimizer.name", "sgd"]
    cached, through = (state_of(train_cached(fit, cache, *options)) for cache in ("on", "off"))
    torch.testing.assert_close(cached, through, rtol=1e-3, atol=1e-4)
    assert set(cached) == set(through)


def test_each_image_goes_through_the_backbone_once(fit: Fit, seen: list[int]) -> None:
    train_cached(fit, "on", *PLAIN, "--model.head_epochs", "9", epochs=9)
    sanity, train_images, val_images, test_images = 8, 43, 8, 9
    record = val_images  # the best weights' outputs of the validation images
    assert sum(seen) == sanity + train_images + val_images + test_images + record


def test_views_differ_and_take_turns(fit: Fit, seen: list[int]) -> None:
    options = [*SMALL, "--model.head_epochs", "6", "--feature_views", "3"]
    train_cached(fit, "on", *options, epochs=6)
    assert sum(seen) == 8 + 3 * 43 + 8 + 9 + 8


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_resuming_with_cached_features_equals_never_stopping(fit: Fit, stopped_after: int) -> None:
    options = [*PLAIN, "--model.head_epochs", "2", "--model.dropout", "0", "--data.batch_size", "64"]
    options += ["--model.schedule.name", "constant", "--model.optimizer.name", "sgd"]
    whole, part = train_cached(fit, "on", *options), train_cached(fit, "on", *options, epochs=stopped_after)
    resumed = train_cached(fit, "on", *options, "--ckpt_path", str(part / "checkpoints" / "last.ckpt"))
    torch.testing.assert_close(state_of(whole), state_of(resumed), rtol=1e-3, atol=1e-4)


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
        train_cached(fit, "auto", *PLAIN, *options)
    assert f"Backbone features are not cached: {reason}." in caplog.messages


def test_auto_says_that_it_does(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        train_cached(fit, "auto", *PLAIN, "--model.head_epochs", "4")
    assert "Caching backbone features of 51 images." in caplog.messages


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model.mix.name", "mixup"], "cache_features is on, but images are mixed. Give --model.mix.name none"),
        (["--data.num_workers", "1"], "workers load the images. Give --data.num_workers 0"),
        (["--feature_views", "0"], "feature_views is 0; it must be a whole number of 1 or more"),
    ],
)
def test_on_that_cannot_be_is_refused(
    fit: Fit, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        train_cached(fit, "on", *PLAIN, "--model.head_epochs", "4", *options)
    assert message in capsys.readouterr().err


def test_learning_rate_and_steps_are_said_before_the_first(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        fit("--model.optimizer.lr_for_batch_size", "4", "--trainer.accumulate_grad_batches", "2")
    said = "16 images per step (8 x 2 accumulated), learning rate 0.004 (0.001 for 4), 6 steps in 2 epochs"
    assert said in caplog.text
