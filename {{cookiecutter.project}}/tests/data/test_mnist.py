import os
from pathlib import Path

import pytest
import torch
from torchvision import datasets

from {{cookiecutter.package}}.data import FashionMNISTDataModule, MNISTDataModule
from {{cookiecutter.package}}.errors import UserError

from ..conftest import whole

REAL = os.environ.get("CLASSIFIER_DATA", "")
needs_real_data = pytest.mark.skipif(not REAL, reason="CLASSIFIER_DATA does not name a folder with MNIST/raw")


@pytest.mark.parametrize("module", [MNISTDataModule, FashionMNISTDataModule])
def test_test_split_is_the_official_one(module: type[MNISTDataModule], mnist_root: Path) -> None:
    data = module(str(mnist_root), val_fraction=0.2)
    data.prepare_data()
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [80, 20, 20]
    assert all(name.startswith("test/") for name in data.split("test").names)
    assert all(name.startswith("train/") for split in ("train", "val") for name in data.split(split).names)


@needs_real_data
@pytest.mark.parametrize("module", [MNISTDataModule, FashionMNISTDataModule])
def test_real_files(module: type[MNISTDataModule]) -> None:
    data = module(REAL)
    assert [len(data.split(split)) for split in ("train", "val", "test")] == [54_000, 6_000, 10_000]
    pixels = whole(data.split("train")) / 255
    assert pixels.mean().item() == pytest.approx(data.facts.mean[0], abs=1e-3)
    assert pixels.std().item() == pytest.approx(data.facts.std[0], abs=1e-3)
    official = module.source(REAL, train=False)
    assert torch.equal(whole(data.split("test"))[:, 0], official.data)


def test_failed_download_says_what_to_put_where(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = ["http://127.0.0.1:9/"]  # the discard port: refused at once
    monkeypatch.setattr(datasets.MNIST, "mirrors", nowhere)
    data = MNISTDataModule(str(workspace / "empty"))
    with pytest.raises(UserError, match=r"empty.*Put these four files.*empty/MNIST/raw: train-images-idx3-ubyte"):
        data.prepare_data()
