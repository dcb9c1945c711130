"""Base class of all data sets: splits, loaders, and augmentation of training images."""

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

# Evaluation stores no activations for gradients, so that four times the training batch fits into memory.
EVALUATION_BATCHES = 4
CHUNK = 16  # images compared at once


class ImageDataModule(LightningDataModule):
    """Serves uint8 (B, C, H, W) images and int64 (B,) labels. Subclasses define ``facts`` and ``load_split``.

    Args:
        batch_size: images per training step and process; evaluation uses batches four times as large.
        num_workers: number of loader processes; 0 is fastest for images in memory.
        augmentation: augmentation of the training images.
        val_fraction: share of the training images held out for validation, stratified by class.
        split_seed: seed of the carved splits; independent of the training seed, so that seeds can be compared.
    """

    mirror: bool
    """Whether augmentation may flip images horizontally; False where the mirror image would be of another class."""

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
        """Class names, image size and normalisation; available before any image is decoded."""

    @abstractmethod
    def load_split(self, split: Split) -> LabelledImages:
        """Decode one split."""

    def split(self, split: Split) -> LabelledImages:
        """One split; it is decoded at its first use."""
        if split not in self._loaded:
            self._loaded[split] = self.load_split(split)
            log.info("%s: %s images", split, f"{len(self._loaded[split]):,}")
        return self._loaded[split]

    def digests(self, split: Split) -> Tensor | None:
        """Digests of the image contents of a split: int64 (N,), in the split's order; None if not available."""
        if split not in self._digests:
            self._digests[split] = self.load_digests(split)
        return self._digests[split]

    def load_digests(self, split: Split) -> Tensor | None:
        """The digests of one split, computed from pixels; a data set can use files instead, which is cheaper."""
        return pixel_digests(self.split(split).images)

    @cached_property
    def split_hash(self) -> str:
        """Hash of the content of all three splits; decodes those not yet decoded."""
        columns: dict[str, tuple[Tensor, Tensor]] = {}
        for split in SPLITS:
            digests = self.digests(split)
            assert digests is not None, "a data set without digests has a split_hash of its own"
            columns[split] = digests, self.split(split).labels
        return content_hash(columns)

    def setup(self, stage: str) -> None:
        """Decode the splits that the stage reads, so that an unreadable image ends a run before its first epoch."""
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
                f"{self.facts.image_size} pixels, so a model cannot learn from them. Check the files of the data set "
                "and the options that decode them (--data.image_size, --data.fit)."
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        augmentation = build_augmentation(self.augmentation, self.facts.image_size, mirror=self.mirror)
        dataset = BatchDataset(self.split("train"), augmentation)
        # Batch norm fails on a last batch of one image. Shuffling leaves out other images in each epoch.
        sampler = self.train_sampler(dataset)
        batches = TrainingBatches(sampler, self.batch_size, drop_last=len(sampler) > self.batch_size)
        return TrainingLoader(dataset, batches, **self._loader_options)

    def train_sampler(self, dataset: BatchDataset) -> DistributedSampler[Batch]:
        """Sampler of the training images: shuffles them in each epoch and gives each process its share."""
        return DistributedSampler(dataset, *self._share, seed=training_seed())

    def val_dataloader(self) -> DataLoader[Batch]:
        return self.evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self.evaluation_loader("test")

    def evaluation_loader(self, split: Split) -> DataLoader[Batch]:
        """Loader that serves each image of a split once, in order, divided over all processes."""
        dataset = BatchDataset(self.split(split))
        batches = EvaluationBatches(len(dataset), EVALUATION_BATCHES * self.batch_size, *self._share)
        return DataLoader(dataset, batch_sampler=batches, collate_fn=keep_batch, **self._loader_options)

    @property
    def _share(self) -> tuple[int, int]:
        """Number of processes, and rank of this process."""
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)

    @property
    def _loader_options(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            # Copies from pinned memory to the GPU overlap with computation.
            "pin_memory": self.trainer is not None and isinstance(self.trainer.accelerator, CUDAAccelerator),
        }


def are_all_the_same(images: Images) -> bool:
    """Whether all images equal the first one; stops at the first difference."""
    first = images[torch.tensor([0])]
    return all(bool((images[part] == first).all()) for part in torch.split(torch.arange(len(images)), CHUNK))


def require_positive(name: str, value: int) -> None:
    if value < 1:
        raise UserError(f"data.{name} is {value}; it must be 1 or more.")


def require_fraction(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise UserError(f"data.{name} is {value}; it must be above 0 and below 1, for example 0.1.")
