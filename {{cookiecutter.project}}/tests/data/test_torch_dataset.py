"""Any torch Dataset of images as a data module."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from {{cookiecutter.package}}.data import DATA_MODULES
from {{cookiecutter.package}}.data.torch_dataset import TorchDatasetDataModule
from {{cookiecutter.package}}.engine.batches import TrainingLoader
from {{cookiecutter.package}}.engine.images import Batch
from {{cookiecutter.package}}.engine.splits import SPLITS, Split
from {{cookiecutter.package}}.errors import UserError

from ..conftest import Fit, whole

NUM_IMAGES = {"train": 60, "val": 12, "test": 12}


class Shades(Dataset[Any]):
    """Images of one shade each, of several sizes, as PIL images, arrays and tensors in turn."""

    def __init__(self, count: int, change: Callable[[Any, Any], Any] = lambda image, label: (image, label)) -> None:
        self.count = count
        self.change = change

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> Any:
        pixels = np.full((20 + position % 5, 24, 3), 3 * position, np.uint8)
        pixels[:4] = 80 * (position % 3)
        images = [Image.fromarray(pixels), pixels, torch.from_numpy(pixels).permute(2, 0, 1)]
        return self.change(images[position % 3], position % 3)


class ShadesDataModule(TorchDatasetDataModule):
    class_names = ("dark", "grey", "light")

    def __init__(self, root: str = "shades", image_size: int = 8, batch_size: int = 8, **loading: Any) -> None:
        super().__init__(image_size=image_size, batch_size=batch_size, **loading)
        self.root = root

    def dataset(self, split: Split) -> Dataset[Any]:
        return Shades(NUM_IMAGES[split])


class CarvedDataModule(ShadesDataModule):
    carved = ("test", "val")


@pytest.mark.parametrize("carved", [True, False])
def test_images_become_squares_and_splits(carved: bool) -> None:
    data = CarvedDataModule() if carved else ShadesDataModule()
    assert [len(data.split(split)) for split in SPLITS] == ([43, 8, 9] if carved else [60, 12, 12])
    names = {name for split in SPLITS for name in data.split(split).names}
    assert len(names) == (60 if carved else 84)
    for split in SPLITS:
        images, labels = whole(data.split(split)), data.split(split).labels
        assert (images.dtype, images.shape[1:], labels.dtype) == (torch.uint8, (3, 8, 8), torch.int64)
        for image, label, name in zip(images, labels.tolist(), data.split(split).names, strict=True):
            position = int(name.partition("/")[2])
            assert label == position % 3
            assert image[:, -1].unique().tolist() == [3 * position]


@pytest.mark.parametrize("module", [ShadesDataModule, CarvedDataModule])
@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_are_too_many_for_memory_are_read_at_each_access(
    module: type[ShadesDataModule], workers: int
) -> None:
    held, read = module(num_workers=workers), module(num_workers=workers, memory_budget_gb=0.0)
    assert isinstance(held.split("train").images, torch.Tensor)
    assert not isinstance(read.split("train").images, torch.Tensor)
    for split in SPLITS:
        assert torch.equal(whole(held.split(split)), whole(read.split(split)))
        assert torch.equal(held.digests(split), read.digests(split))  # type: ignore[arg-type]
    assert held.split_hash == read.split_hash
    for one, other in zip(batches(held), batches(read), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def batches(data: ShadesDataModule, position: int = 0) -> list[Batch]:
    loader = data.train_dataloader()
    assert isinstance(loader, TrainingLoader)
    loader.batch_sampler.order.set_epoch(3)
    loader.load_state_dict({"position": position})
    return list(loader)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_can_start_at_any_batch(workers: int) -> None:
    rest, epoch = batches(ShadesDataModule(num_workers=workers), position=2), batches(ShadesDataModule())
    assert len(epoch) == 7
    torch.testing.assert_close(rest, epoch[2:], rtol=0, atol=0)


def test_reading_draws_no_random_number() -> None:
    before = torch.get_rng_state()
    ShadesDataModule().split("train")
    assert torch.equal(torch.get_rng_state(), before)


def test_classes_can_be_weighted() -> None:
    assert ShadesDataModule(imbalance="loss_weights").facts.class_weights == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image, _: image, r"item 0 of train is of type Image; it must be a pair of an image and a label"),
        (lambda _, label: ("0.png", label), r"image of item 0 of train is of type str\. Allowed: a PIL image"),
        (lambda _, label: (np.zeros((9, 9, 3)), label), "image of item 0 of train has the type float64: .* uint8"),
        (lambda _, label: (np.zeros((9, 9, 5), np.uint8), label), r"has the shape \(9, 9, 5\).*1, 3 or 4 channels"),
        (lambda image, _: (image, "cat"), "label of item 0 of train is 'cat', which is not an integer"),
        (lambda image, label: (image, label + 1), "label of item 2 of train is 3; it must be 0 to 2"),
    ],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_wrong_items_are_explained(
    change: Callable[[Any, Any], Any], message: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShadesDataModule, "dataset", lambda *_: Shades(6, change))
    with pytest.raises(UserError, match=message):
        ShadesDataModule(num_workers=workers).split("train")


def test_a_dataset_needs_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShadesDataModule, "dataset", lambda *_: iter(()))
    with pytest.raises(UserError, match="dataset of train, a tuple_iterator, must have a length above 0"):
        ShadesDataModule().split("train")


def test_fit_trains_on_it_and_resumes(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATA_MODULES, "ShadesDataModule", ShadesDataModule)
    options = ["--data", "ShadesDataModule", "--data.num_workers", "2", "--data.root", "elsewhere"]
    options += ["--model.schedule.name", "constant"]
    run = fit(*options, epochs=1)
    config = (run / "config.yaml").read_text()
    assert all(f"    {name}:" in config for name in ("root", "image_size", "fit", "num_workers", "split_seed"))
    more = fit(*options, "--ckpt_path", str(run), epochs=2)
    assert '"num_epochs": 2' in (more / "summary.json").read_text()
