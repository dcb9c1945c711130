from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import seed_everything
from lightning.pytorch.accelerators import Accelerator, CPUAccelerator, CUDAAccelerator
from torch.utils.data import DistributedSampler

from {{cookiecutter.package}}.data import DigitsDataModule, ImageFolderDataModule, MNISTDataModule
from {{cookiecutter.package}}.data.base import ImageDataModule
from {{cookiecutter.package}}.engine.batches import (
    EvaluationBatches,
    TrainingBatches,
    TrainingLoader,
    WeightedSampler,
)
from {{cookiecutter.package}}.engine.folder import ManifestRow, write_manifest
from {{cookiecutter.package}}.engine.images import (
    Batch,
    BatchDataset,
    LabelledImages,
    SeededIndices,
    require_variety,
)
from {{cookiecutter.package}}.engine.splits import Split
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import MLPClassifier

from ..conftest import COLOURS, Fit, whole, write_images


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
        assert 0 < len(images) == len(labels) <= 64
        assert labels.dtype == torch.int64
        assert 0 <= labels.min() <= labels.max() < facts.num_classes


def test_evaluation_takes_four_batches_at_once(data: ImageDataModule) -> None:
    samplers: list[Any] = [loader.batch_sampler for loader in (data.train_dataloader(), data.test_dataloader())]
    assert [sampler.batch_size for sampler in samplers] == [16, 64]


@pytest.mark.parametrize(("accelerator", "pinned"), [(CUDAAccelerator(), True), (CPUAccelerator(), False)])
def test_memory_is_pinned_for_a_gpu(data: ImageDataModule, accelerator: Accelerator, pinned: bool) -> None:
    data.trainer = SimpleNamespace(accelerator=accelerator, world_size=1, global_rank=0)  # type: ignore[assignment]
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
        seed_everything(seed)
        return torch.cat([batch[1] for batch in data.train_dataloader()]).tolist()

    assert labels(1) == labels(1) != labels(2)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_the_same_wherever_it_begins(workers: int) -> None:
    """Batches 3 and on of the fourth epoch, whole and begun there by a process that has seen nothing else."""
    data = DigitsDataModule(batch_size=200, augmentation="light", num_workers=workers)
    whole_epoch, rest = [loader_of_epoch(data, epoch=3, position=position) for position in (0, 2)]
    assert len(whole_epoch) == 6
    torch.testing.assert_close(rest, whole_epoch[2:], rtol=0, atol=0)
    assert not torch.equal(whole_epoch[0][0], loader_of_epoch(data, epoch=4, position=0)[0][0])


def loader_of_epoch(data: ImageDataModule, epoch: int, position: int) -> list[Batch]:
    loader = data.train_dataloader()
    assert isinstance(loader, TrainingLoader)
    loader.batch_sampler.order.set_epoch(epoch)
    loader.load_state_dict({"position": position})
    torch.rand(epoch + position)  # what a process drew before does not matter
    batches = list(loader)
    assert loader.state_dict() == {"position": position + len(batches)}
    return batches


@pytest.mark.parametrize(("num_images", "num_processes"), [(10, 1), (10, 3), (9, 4), (16, 2), (17, 2), (3, 3)])
def test_processes_evaluate_each_image_once_in_equally_many_batches(num_images: int, num_processes: int) -> None:
    shares = [list(EvaluationBatches(num_images, 4, num_processes, rank)) for rank in range(num_processes)]
    assert sorted(index for share in shares for batch in share for index in batch) == list(range(num_images))
    assert len({len(share) for share in shares}) == 1
    assert all(1 <= len(batch) <= 4 for share in shares for batch in share)


def test_processes_train_on_different_images_and_draw_different_augmentation() -> None:
    """Were the seeds alike, two processes would turn and shift their images in the same way."""
    dataset: Any = range(8)
    samplers = [DistributedSampler[Any](dataset, num_replicas=2, rank=rank, seed=3) for rank in range(2)]
    batches = [[*TrainingBatches(sampler, batch_size=2, drop_last=True)] for sampler in samplers]
    assert sorted(index for share in batches for batch in share for index in batch) == list(range(8))
    seeds = [batch.seed for share in batches for batch in share if isinstance(batch, SeededIndices)]
    assert len(set(seeds)) == 4


@pytest.mark.parametrize(("batch_size", "num_processes", "lengths"), [(1000, 1, (1, 1000)), (1000, 2, (1, 647))])
def test_a_share_smaller_than_a_batch_is_one_batch(
    batch_size: int, num_processes: int, lengths: tuple[int, int]
) -> None:
    """1,294 images: a process that has fewer than a batch would otherwise drop them all."""
    data = DigitsDataModule(batch_size=batch_size)
    data.trainer = SimpleNamespace(accelerator=CPUAccelerator(), world_size=num_processes, global_rank=0)  # type: ignore[assignment]
    loader = data.train_dataloader()
    assert isinstance(loader, TrainingLoader)
    assert (len(loader), loader.batch_sampler.smallest) == lengths


def test_images_that_are_all_the_same() -> None:
    images = torch.zeros(40, 1, 2, 2, dtype=torch.uint8)
    with pytest.raises(UserError, match="all 40 training images are the same at 2 x 2 pixels"):
        require_variety(images)
    images[39, 0, 1, 1] = 1
    require_variety(images)


def test_more_processes_than_images() -> None:
    with pytest.raises(UserError, match=r"2 images for 3 processes.*--trainer\.devices"):
        EvaluationBatches(2, 4, 3, 0)


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


def left(photos: Path) -> list[Path]:
    return sorted(photos.rglob("*.*"))


@pytest.fixture
def unequal(photos: Path) -> Path:
    """Classes of unequal size: 20 green, 20 red and 4 blue images, all of them for training."""
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
