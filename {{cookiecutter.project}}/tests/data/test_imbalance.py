"""Classes of unequal size: 20 green, 20 red and 4 blue images, all of them for training."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from {{cookiecutter.package}}.data import ImageFolderDataModule
from {{cookiecutter.package}}.data.loading import WeightedSampler
from {{cookiecutter.package}}.data.manifest import ManifestRow, write_manifest
from {{cookiecutter.package}}.data.splits import Split
from {{cookiecutter.package}}.models import MLPClassifier

from ..conftest import COLOURS, Fit, write_images


def left(photos: Path) -> list[Path]:
    return sorted(photos.rglob("*.*"))


@pytest.fixture
def unequal(photos: Path) -> Path:
    for file in sorted((photos / "blue").iterdir())[4:]:
        file.unlink()
    rows = [ManifestRow(f"{file.parent.name}/{file.name}", file.parent.name, "train", "") for file in left(photos)]
    held_out: tuple[Split, ...] = ("val", "test")
    for name, colour in COLOURS.items():
        for split in held_out:
            folder = photos / name / split
            write_images(folder, 2, colour)
            rows += [ManifestRow(f"{name}/{split}/{file.name}", name, split, "") for file in folder.iterdir()]
    write_manifest(photos / "splits.csv", rows)
    return photos


def module(photos: Path, imbalance: str) -> ImageFolderDataModule:
    arguments: dict[str, Any] = {"image_size": 8, "batch_size": 11, "cache": "memory", "imbalance": imbalance}
    return ImageFolderDataModule(str(photos), **arguments)


def test_weights_make_classes_equal(unequal: Path) -> None:
    facts = module(unequal, "loss_weights").facts
    assert facts.class_weights == pytest.approx([44 / (3 * 4), 44 / (3 * 20), 44 / (3 * 20)])
    model = MLPClassifier(facts)
    logits, targets = torch.randn(2, 3), torch.tensor([0, 2])
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    expected = (losses[0] * 5 + losses[1]) / 6  # a blue image counts five times as much as a red one
    torch.testing.assert_close(model.loss(logits, targets), expected)


def test_sampler_shows_classes_equally_often(unequal: Path) -> None:
    loader: Any = module(unequal, "sampler").train_dataloader()
    epochs = []
    for epoch in range(50):
        loader.batch_sampler.order.set_epoch(epoch)
        epochs.append(torch.cat([labels for _, labels in loader]))
    assert [len(labels) for labels in epochs] == [44] * 50
    counts = Counter(torch.cat(epochs).tolist())
    assert all(abs(counts[label] / 2200 - 1 / 3) < 0.04 for label in range(3))
    assert module(unequal, "sampler").facts.class_weights is None


def test_processes_share_out_what_is_drawn() -> None:
    """Two halves of the draw of one process, different in each epoch."""
    weights = torch.tensor([1.0, 2.0, 3.0, 0.0])
    draws = []
    for epoch in (0, 1):
        one, *halves = (WeightedSampler(weights, n, rank, seed=1) for n, rank in ((1, 0), (2, 0), (2, 1)))
        for sampler in (one, *halves):
            sampler.set_epoch(epoch)
        draws.append(list(one))
        assert draws[-1] == [index for pair in zip(*halves, strict=True) for index in pair]
    assert draws[0] != draws[1]
    assert 3 not in draws[0] + draws[1]


def test_nothing_is_changed_unasked(unequal: Path) -> None:
    data = module(unequal, "none")
    assert data.facts.class_weights is None
    counts = Counter(torch.cat([labels for _, labels in data.train_dataloader()]).tolist())
    assert counts == {0: 4, 1: 20, 2: 20}


@pytest.mark.usefixtures("unequal")
@pytest.mark.parametrize("imbalance", ["loss_weights", "sampler"])
def test_fit_and_test_take_both(fit: Fit, imbalance: str) -> None:
    run = fit("--data.imbalance", imbalance, "--monitor", "val/balanced_acc", epochs=1)
    assert "test/balanced_acc" in (run / "summary.json").read_text()
