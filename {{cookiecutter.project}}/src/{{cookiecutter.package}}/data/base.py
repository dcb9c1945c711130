"""Base classes of data sets: splits and loaders; how images of any size become squares, and class imbalance."""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

from lightning.pytorch import LightningDataModule
from lightning.pytorch.accelerators import CUDAAccelerator
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from ..engine.batches import EvaluationBatches, TrainingBatches, TrainingLoader, WeightedSampler, training_seed
from ..engine.images import Batch, BatchDataset, LabelledImages, keep_batch, require_variety
from ..engine.preprocessing import class_weights, for_channels
from ..engine.reading import require_values
from ..engine.splits import SPLITS, Split, carve_splits, content_hash, pixel_digests
from ..facts import Fit, ImageFacts
from ..predictor import Decoding
from ..values import Count, Fraction, NonNegative, NumWorkers, Seed, Size
from .augmentation import AugmentationName, build_augmentation

log = logging.getLogger(__name__)

# Evaluation stores no activations for gradients, so that four times the training batch fits into memory.
EVALUATION_BATCHES = 4
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]


class ImageDataModule(LightningDataModule):
    """Serves uint8 (B, C, H, W) images and int64 (B,) labels. Subclasses define ``facts`` and ``load_split``.

    Args:
        batch_size: images per training step and process; evaluation uses batches four times as large.
        num_workers: number of loader processes; 0 is fastest for images in memory.
        augmentation: augmentation of the training images.
        val_fraction: share of the training images held out for validation, if there is no validation split.
        test_fraction: share of the images held out for the test, if there is no test split; the test split is carved
            before the validation split.
        split_seed: seed of the carved splits; independent of the training seed, so that seeds can be compared.
    """

    mirror: bool
    """Whether augmentation may flip images horizontally; False where the mirror image would be of another class."""

    carved: ClassVar[tuple[Split, ...]] = ()
    """Splits that the data set does not have; they are carved from its training images, stratified by class."""

    def __init__(
        self,
        batch_size: Count = 128,
        num_workers: NumWorkers = 0,
        augmentation: AugmentationName = "none",
        val_fraction: Fraction = 0.1,
        test_fraction: Fraction = 0.15,
        split_seed: Seed = 0,
    ) -> None:
        super().__init__()
        require_values(type(self), locals(), "data")
        self.fractions: dict[Split, float] = {"test": test_fraction, "val": val_fraction}
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.augmentation: AugmentationName = augmentation
        self.split_seed = split_seed
        self._loaded: dict[Split, LabelledImages] = {}
        self._digests: dict[Split, Tensor | None] = {}

    @property
    @abstractmethod
    def facts(self) -> ImageFacts:
        """Class names, image size and normalisation; available before any image is decoded."""

    @abstractmethod
    def load_split(self, split: Split) -> LabelledImages:
        """Decode one split, which is not one of ``carved``."""

    def split(self, split: Split) -> LabelledImages:
        """One split; it is decoded at its first use."""
        if split not in self._loaded:
            if self.carved and split in {"train", *self.carved}:
                images = self.load_split("train")
                fractions = {name: share for name, share in self.fractions.items() if name in self.carved}
                positions = carve_splits(images.labels, fractions, self.split_seed, self.facts.class_names)
                loaded = {name: images.subset(chosen) for name, chosen in positions.items()}
            else:
                loaded = {split: self.load_split(split)}
            for name, images in loaded.items():
                log.info("%s: %s images", name, f"{len(images):,}")
            self._loaded |= loaded
        return self._loaded[split]

    def digests(self, split: Split) -> Tensor | None:
        """Digests of the image contents of a split: int64 (N,), in the split's order; None if not available."""
        if split not in self._digests:
            self._digests[split] = self.load_digests(split)
        return self._digests[split]

    def load_digests(self, split: Split) -> Tensor | None:
        """The digests of one split, computed from pixels; a data set can use files instead, which is cheaper."""
        images = self.split(split)
        return pixel_digests(images.images) if images.digests is None else images.digests

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
        require_variety(self.split("train").images)

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


class DecodedDataModule(ImageDataModule):
    """Images of any size, decoded to squares. Subclasses define ``class_names`` and ``load_split``.

    Args:
        image_size: side of the square images, in pixels.
        fit: how images are made square: cropped (``crop``), with borders (``pad``), or distorted (``squash``).
        num_channels: 3 (RGB) or 1 (grey).
        mirror: allow horizontal flips in augmentation. Set to false for text, road signs, or left and right hands.
        imbalance: handling of class imbalance. ``loss_weights`` weights classes in the training loss inversely to
            their size, ``sampler`` draws all classes equally often, ``none`` does neither.
        memory_budget_gb: maximum size of the decoded images in memory, in gigabytes (0: never in memory). Larger
            data sets are read from the cache on disk, or decoded in every epoch if they have none.
    """

    def __init__(
        self,
        image_size: Size = 224,
        fit: Fit = "crop",
        num_channels: Literal[1, 3] = 3,
        batch_size: Count = 32,
        augmentation: AugmentationName = "standard",
        mirror: bool = True,
        val_fraction: Fraction = 0.15,
        imbalance: Literal["none", "loss_weights", "sampler"] = "none",
        memory_budget_gb: NonNegative = 4.0,
        **loading: Any,
    ) -> None:
        require_values(type(self), locals(), "data")
        super().__init__(batch_size, augmentation=augmentation, val_fraction=val_fraction, **loading)
        self.decoding = Decoding(image_size, num_channels, fit)
        self.mirror = mirror
        self.imbalance = imbalance
        self.memory_budget_gb = memory_budget_gb

    @property
    @abstractmethod
    def class_names(self) -> Sequence[str]:
        """K names; a name's position is its label. A subclass can define a list instead of this property."""

    def train_labels(self) -> Tensor:
        """The labels of the training images, int64 (N,)."""
        return self.split("train").labels

    @property
    def facts(self) -> ImageFacts:
        size, channels, fit = self.decoding.image_size, self.decoding.num_channels, self.decoding.fit
        mean, std = for_channels(IMAGENET_MEAN, channels), for_channels(IMAGENET_STD, channels)
        weights = self.class_weights.tolist() if self.imbalance == "loss_weights" else None
        return ImageFacts(list(self.class_names), channels, size, mean, std, fit, weights)

    @property
    def class_weights(self) -> Tensor:
        """(K,), over training images."""
        return class_weights(self.train_labels().bincount(minlength=len(self.class_names)))

    def train_sampler(self, dataset: BatchDataset) -> DistributedSampler[Batch]:
        if self.imbalance != "sampler":
            return super().train_sampler(dataset)
        return WeightedSampler(self.class_weights[dataset.split.labels], *self._share, seed=training_seed())

    def fits_in_memory(self, num_images: int) -> bool:
        return num_images * self.decoding.num_bytes <= self.memory_budget_gb * 1e9
