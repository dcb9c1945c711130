from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.accelerators import Accelerator, CPUAccelerator, CUDAAccelerator

from {{cookiecutter.package}}.data import DigitsDataModule, ImageFolderDataModule, MNISTDataModule
from {{cookiecutter.package}}.data.base import ImageDataModule
from {{cookiecutter.package}}.data.labelled_images import BatchDataset, LabelledImages
from {{cookiecutter.package}}.errors import UserError

from ..conftest import whole


@pytest.fixture(params=["digits", "mnist", "folder"])
def data(request: pytest.FixtureRequest, mnist_root: Path, photos: Path) -> ImageDataModule:
    if request.param == "digits":
        return DigitsDataModule(batch_size=16, augmentation="light")
    if request.param == "mnist":
        return MNISTDataModule(str(mnist_root), batch_size=16, augmentation="light")
    return ImageFolderDataModule(str(photos), image_size=24, batch_size=16)


def test_batches_keep_the_contract(data: ImageDataModule) -> None:
    facts = data.facts
    data.setup("fit")
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        images, labels = next(iter(loader))
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (facts.num_channels, facts.image_size, facts.image_size)
        assert len(images) == len(labels) == min(len(loader.dataset), loader.batch_size or 0)  # type: ignore[arg-type]
        assert labels.dtype == torch.int64
        assert 0 <= labels.min() <= labels.max() < facts.num_classes


def test_evaluation_takes_four_batches_at_once(data: ImageDataModule) -> None:
    loaders = data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
    assert [loader.batch_size for loader in loaders] == [16, 64, 64]


@pytest.mark.parametrize(("accelerator", "pinned"), [(CUDAAccelerator(), True), (CPUAccelerator(), False)])
def test_memory_is_pinned_for_a_gpu(data: ImageDataModule, accelerator: Accelerator, pinned: bool) -> None:
    data.trainer = SimpleNamespace(accelerator=accelerator, world_size=1)  # type: ignore[assignment]
    loaders = data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
    assert {loader.pin_memory for loader in loaders} == {pinned}


def test_splits_share_no_image_and_hold_every_class(data: ImageDataModule) -> None:
    names = [set(data.split(split).names) for split in ("train", "val", "test")]
    assert sum(map(len, names)) == len(set.union(*names))
    for split in ("train", "val", "test"):
        assert set(data.split(split).labels.tolist()) == set(range(data.facts.num_classes))


def test_only_training_images_are_augmented(data: ImageDataModule) -> None:
    torch.manual_seed(0)
    for images, loader in (
        (whole(data.split("val")), data.val_dataloader()),
        (whole(data.split("test")), data.test_dataloader()),
    ):
        assert torch.equal(torch.cat([batch[0] for batch in loader]), images)
    first = next(iter(data.train_dataloader()))[0]
    originals = {bytes(image.numpy()) for image in whole(data.split("train"))}
    assert any(bytes(image.numpy()) not in originals for image in first)


def test_the_order_of_training_images_follows_the_seed(data: ImageDataModule) -> None:
    def labels(seed: int) -> list[int]:
        torch.manual_seed(seed)
        return torch.cat([batch[1] for batch in data.train_dataloader()]).tolist()

    assert labels(1) == labels(1) != labels(2)


def test_a_batch_is_one_gather() -> None:
    images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1)
    dataset = BatchDataset(LabelledImages(images, torch.arange(5), list("abcde")))
    batch, labels = dataset.__getitems__([3, 0, 3])
    assert batch.flatten().tolist() == labels.tolist() == [3, 0, 3]
    assert dataset[2][1] == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_serve_the_same_images(workers: int) -> None:
    data = DigitsDataModule(num_workers=workers)
    images = torch.cat([batch[0] for batch in data.test_dataloader()])
    assert torch.equal(images, whole(data.split("test")))


@pytest.mark.parametrize(("argument", "value"), [("batch_size", 0), ("val_fraction", 1.0), ("test_fraction", -0.1)])
def test_wrong_numbers_are_echoed(argument: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"data\.{argument} is {value}"):
        DigitsDataModule(**{argument: value})  # type: ignore[arg-type]
