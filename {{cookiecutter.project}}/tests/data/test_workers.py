"""A loader's workers: the same batches under every start method, and little that has to be sent to them."""

from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from {{cookiecutter.package}}.data import DigitsDataModule, ImageFolderDataModule
from {{cookiecutter.package}}.data.augmentation import build_augmentation
from {{cookiecutter.package}}.data.base import ImageDataModule
from {{cookiecutter.package}}.engine.images import (
    Batch,
    BatchDataset,
    Images,
    LabelledImages,
    MappedImages,
    SeededIndices,
    SelectedImages,
    UndecodedImages,
    keep_batch,
)
from {{cookiecutter.package}}.predictor import Decoding

# The defaults of Linux until Python 3.13, of Linux from 3.14, and of macOS and Windows.
START_METHODS = ["fork", "forkserver", "spawn"]
NUM_IMAGES = 50_000
DECODING = Decoding(image_size=16, num_channels=3, fit="crop")


def digits(_: Path, num_workers: int) -> ImageDataModule:
    return DigitsDataModule(batch_size=400, augmentation="light", num_workers=num_workers)


def in_memory(photos: Path, num_workers: int) -> ImageDataModule:
    return ImageFolderDataModule(str(photos), image_size=16, batch_size=8, num_workers=num_workers)


def on_disk(photos: Path, num_workers: int) -> ImageDataModule:
    return ImageFolderDataModule(str(photos), image_size=16, batch_size=8, num_workers=num_workers, cache="disk")


def undecoded(photos: Path, num_workers: int) -> ImageDataModule:
    return ImageFolderDataModule(str(photos), image_size=16, batch_size=8, num_workers=num_workers, cache="none")


class Together(Dataset[list[Batch]]):
    """Several data sets in one worker, which takes seconds to start: the same batch of each."""

    def __init__(self, datasets: list[Dataset[Batch]]) -> None:
        self.datasets = datasets

    def __getitems__(self, indices: list[int]) -> list[Batch]:
        return [dataset.__getitems__(indices) for dataset in self.datasets]  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", START_METHODS)
def test_batches_are_the_same(photos: Path, method: str) -> None:
    builds = [digits, in_memory, on_disk, undecoded]
    alone, sent = (Together([dataset_of(build(photos, number)) for build in builds]) for number in (0, 1))
    batches = [SeededIndices(range(8), seed=1), SeededIndices([5, 3, 5], seed=2)]
    loader = DataLoader(
        sent, batch_sampler=batches, num_workers=1, collate_fn=keep_batch, multiprocessing_context=method
    )
    received = list(loader)
    torch.testing.assert_close(received, [alone.__getitems__(indices) for indices in batches], rtol=0, atol=0)


def dataset_of(data: ImageDataModule) -> Dataset[Batch]:
    """That of training, while a Trainer holds what cannot be sent to another process."""
    unsendable = (batch for batch in range(3))
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        world_size=1, global_rank=0, num_nodes=1, accelerator=None, batches=unsendable
    )
    return data.train_dataloader().dataset


def tensor() -> Images:
    return torch.zeros(NUM_IMAGES, 1, 8, 8, dtype=torch.uint8)


def mapped() -> Images:
    return SelectedImages(MappedImages(Path("images.bin"), DECODING), torch.arange(NUM_IMAGES))


def files() -> Images:
    return UndecodedImages([Path(f"photos/of a class/image {i}.jpg") for i in range(NUM_IMAGES)], DECODING)


@pytest.mark.parametrize("build", [tensor, mapped, files])
def test_little_is_sent_to_a_worker(build: Callable[[], Images]) -> None:
    names = [f"photos/of a class/image {i}.jpg" for i in range(NUM_IMAGES)]
    split = LabelledImages(build(), torch.zeros(NUM_IMAGES, dtype=torch.long), names)
    dataset = BatchDataset(split, build_augmentation("standard", 16, mirror=True))
    assert len(ForkingPickler.dumps(dataset)) < 100_000  # bytes
    assert dataset.split.names == names


def test_paths_of_any_characters() -> None:
    paths = [Path("photos/a b/ä.jpg"), Path("photos/c"), Path("photos/\udcff.png")]  # the last one is no UTF-8
    images = UndecodedImages(paths, DECODING)
    assert [images.file(position) for position in range(len(images))] == paths
