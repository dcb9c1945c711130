"""What every data set shares: splits, loaders, augmentation for training only."""

from __future__ import annotations

import logging
from abc import abstractmethod
from functools import cached_property
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.accelerators import CUDAAccelerator
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from ..errors import UserError
from .augmentation import AugmentationName, build_augmentation
from .content import content_hash, pixel_digests
from .facts import ImageFacts
from .image_stores import Images
from .labelled_images import Batch, BatchDataset, LabelledImages, keep_batch
from .loading import EvaluationBatches, TrainingBatches, TrainingLoader, training_seed
from .splits import SPLITS, Split

log = logging.getLogger(__name__)

# Without gradients a network keeps no activations: what can be trained on a batch can be evaluated on four.
EVALUATION_BATCHES = 4
CHUNK = 16  # images compared at once


class ImageDataModule(LightningDataModule):
    """Serves uint8 (B, C, H, W) images in 0 to 255 and int64 (B,) labels. A data set says its facts and loads a split.

    Args:
        batch_size: images a training step and process; evaluation takes four times as many at once.
        num_workers: loader processes; 0 is fastest while a batch is one gather from memory.
        augmentation: augmentation of the training images.
        val_fraction: share of the training images carved off for validation, stratified.
        split_seed: seed of every carved split, apart from the training seed, so that seeds can be compared.
    """

    mirror: bool
    """Whether a mirrored image keeps its class."""

    def __init__(
        self,
        batch_size: int = 128,
        num_workers: int = 0,
        augmentation: AugmentationName = "none",
        val_fraction: float = 0.1,
        split_seed: int = 0,
    ) -> None:
        super().__init__()
        require_positive("batch_size", batch_size)
        require_fraction("val_fraction", val_fraction)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.augmentation: AugmentationName = augmentation
        self.val_fraction = val_fraction
        self.split_seed = split_seed
        self._loaded: dict[Split, LabelledImages] = {}
        self._digests: dict[Split, Tensor | None] = {}

    @property
    @abstractmethod
    def facts(self) -> ImageFacts:
        """The facts, known before any image is decoded."""

    @abstractmethod
    def load_split(self, split: Split) -> LabelledImages:
        """Decode one split."""

    def split(self, split: Split) -> LabelledImages:
        """One split, decoded at its first use."""
        if split not in self._loaded:
            self._loaded[split] = self.load_split(split)
            log.info("%s: %s images", split, f"{len(self._loaded[split]):,}")
        return self._loaded[split]

    def digests(self, split: Split) -> Tensor | None:
        """Digests of what the images of a split hold: int64 (N,), in the split's order; None where nobody knows."""
        if split not in self._digests:
            self._digests[split] = self.load_digests(split)
        return self._digests[split]

    def load_digests(self, split: Split) -> Tensor | None:
        """The digests of one split: of the pixels, unless a data set has something cheaper, such as files."""
        return pixel_digests(self.split(split).images)

    @cached_property
    def split_hash(self) -> str:
        """Identity of all three splits, by content; decodes those not yet decoded."""
        columns: dict[str, tuple[Tensor, Tensor]] = {}
        for split in SPLITS:
            digests = self.digests(split)
            assert digests is not None, "a data set without digests has a split_hash of its own"
            columns[split] = digests, self.split(split).labels
        return content_hash(columns)

    def setup(self, stage: str) -> None:
        """Decode what the stage reads, so that a bad image ends a run before its first epoch."""
        splits: dict[str, tuple[Split, ...]] = {"fit": ("train", "val", "test"), "validate": ("val",)}
        for split in splits.get(stage, ("test",)):
            self.split(split)
        if stage == "fit":
            self.require_variety()

    def require_variety(self) -> None:
        """Refuse training images that are all the same."""
        images = self.split("train").images
        if len(images) > 1 and are_all_the_same(images):
            raise UserError(
                f"all {len(images):,} training images are the same at {self.facts.image_size} x "
                f"{self.facts.image_size} pixels, so there is nothing to learn from them. Check the files of the data "
                "set, and how they are decoded (--data.image_size, --data.fit)."
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        augmentation = build_augmentation(self.augmentation, self.facts.image_size, mirror=self.mirror)
        dataset = BatchDataset(self.split("train"), augmentation)
        # An incomplete last batch of one image would break batch norm; with shuffling it costs no image for long.
        sampler = self.train_sampler(dataset)
        batches = TrainingBatches(sampler, self.batch_size, drop_last=len(sampler) > self.batch_size)
        return TrainingLoader(dataset, batches, **self._loader_options)

    def train_sampler(self, dataset: BatchDataset) -> DistributedSampler[Batch]:
        """Which training images an epoch shows, in which order: of W processes, this one's share."""
        return DistributedSampler(dataset, *self._share, seed=training_seed())

    def val_dataloader(self) -> DataLoader[Batch]:
        return self.evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self.evaluation_loader("test")

    def evaluation_loader(self, split: Split) -> DataLoader[Batch]:
        """Each image of a split once, in order, over all processes."""
        dataset = BatchDataset(self.split(split))
        batches = EvaluationBatches(len(dataset), EVALUATION_BATCHES * self.batch_size, *self._share)
        return DataLoader(dataset, batch_sampler=batches, collate_fn=keep_batch, **self._loader_options)

    @property
    def _share(self) -> tuple[int, int]:
        """How many processes share the images, and which of them this one is."""
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)

    @property
    def _loader_options(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            # From pinned memory Lightning's copies to the GPU overlap with what it computes.
            "pin_memory": self.trainer is not None and isinstance(self.trainer.accelerator, CUDAAccelerator),
        }


def are_all_the_same(images: Images) -> bool:
    """Whether every image equals the first; ends at the first that does not."""
    first = images[torch.tensor([0])]
    return all(bool((images[part] == first).all()) for part in torch.split(torch.arange(len(images)), CHUNK))


def require_positive(name: str, value: int) -> None:
    if value < 1:
        raise UserError(f"data.{name} is {value}; it must be 1 or more.")


def require_fraction(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise UserError(f"data.{name} is {value}; it must be above 0 and below 1, for example 0.1.")
