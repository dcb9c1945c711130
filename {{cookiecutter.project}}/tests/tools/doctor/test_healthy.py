"""Set-ups in order: doctor finds no error and nothing to warn of, changes no file, and forecasts the time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from {{cookiecutter.package}}.engine.run_directory import INHERITED

from .set_ups import CNN, MLP, PHOTOS, doctor, named

CPU = " --trainer.accelerator cpu"
HEALTHY = [
    "",
    MLP,
    CNN,
    "digits_cnn" + CPU,
    "digits_mlp" + CPU,
    "--config digits_cnn --config trainer/cpu --tracking.wandb off",
    MLP + " --model.optimizer.name sgd --model.optimizer.lr 0.1",
    MLP + " --model.schedule.name cosine --model.schedule.warmup_epochs 1",
    MLP + " --model.schedule.name plateau --monitor val/acc",
    CNN + " --averaging.ema_decay 0.9 --early_stopping.patience 1",
    CNN + " --model.mix.name cutmix --model.label_smoothing 0.1 --data.augmentation light",
    CNN + " --trainer.devices 2 --trainer.accumulate_grad_batches 2",
    CNN + " --run.directory new --trainer.limit_train_batches 0.5 --trainer.max_steps 15",
    "mnist_mlp --data.root root --data.batch_size 8" + CPU,
    "fashion_cnn --data.root root --data.batch_size 8" + CPU,
    PHOTOS,
    PHOTOS + " --data.cache none --data.augmentation standard",
    PHOTOS + " --data.cache memory --data.imbalance sampler",
    PHOTOS + " --data.cache disk --data.imbalance loss_weights --data.num_workers 1",
    PHOTOS + " --data.memory_budget_gb 0 --data.num_channels 1 --data.fit pad",
    PHOTOS.replace("MLPClassifier --model.hidden_sizes [16]", "TransferClassifier")
    + " --model.backbone resnet18 --model.weights none --model.head_epochs 1",
]


def files(root: Path) -> dict[str, int]:
    found = [path for path in root.rglob("*") if ".git" not in path.parts]
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in found}


@pytest.mark.usefixtures("folder", "mnist_root")
@pytest.mark.parametrize("words", HEALTHY)
def test_no_false_alarm(words: str, machine_in_order: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(machine_in_order)
    status, found = doctor(words, capsys)
    assert named(found, ["error", "warning"]) == []
    assert status == 0
    assert files(machine_in_order) == before
    assert INHERITED not in os.environ  # a training that follows has a run directory of its own
    if words:
        assert found["forecast"]["seconds"] > 0
        assert {"settings", "findings", "counts"} <= found.keys()
