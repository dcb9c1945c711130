"""Data module for a folder of images with one subfolder per class."""

from __future__ import annotations

import logging
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import DistributedSampler

from ..errors import UserError
from .augmentation import AugmentationName
from .base import ImageDataModule, require_fraction, require_positive
from .content import short_digests
from .decoding import Decoding
from .facts import Fit, ImageFacts
from .file_digests import FILE_NAME as DIGESTS
from .file_digests import FileDigests
from .folder_index import FolderIndex, index_folder
from .image_cache import ImageCache
from .image_stores import Images, UndecodedImages, decode_into_memory
from .labelled_images import Batch, BatchDataset, LabelledImages
from .loading import WeightedSampler, training_seed
from .manifest import FILE_NAME, assign, read_manifest
from .splits import SPLITS, Split, carve_by_content

log = logging.getLogger(__name__)

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
NUM_REASONS_SHOWN = 5


class ImageFolderDataModule(ImageDataModule):
    """Images in ``root/<class>/*`` or ``root/{train,val,test}/<class>/*``; missing splits are carved from train.

    Args:
        root: folder of images.
        image_size: side of the square images, in pixels.
        fit: how images are made square: cropped (``crop``), with borders (``pad``), or distorted (``squash``).
        num_channels: 3 (RGB) or 1 (grey).
        batch_size: images per training step and process; evaluation uses batches four times as large.
        num_workers: number of loader processes.
        augmentation: augmentation of the training images.
        mirror: allow horizontal flips in augmentation. Set to false for text, road signs, or left and right hands.
        val_fraction: approximate share of the training images held out for validation, without a ``val`` folder.
        test_fraction: approximate share of the images held out for the test, without a ``test`` folder; the test split
            is carved before the validation split.
        split_seed: seed of the carved splits; an image's split depends only on its content and this seed, so adding
            images moves none.
        splits: split manifest written by ``split``; None uses ``root/splits.csv`` if it exists, else split folders and
            fractions.
        imbalance: handling of class imbalance. ``loss_weights`` weights classes in the training loss inversely to
            their size, ``sampler`` draws all classes equally often, ``none`` does neither.
        cache: where decoded images are stored. ``auto`` decodes each file once for all runs and loads the images into
            memory if they fit into ``memory_budget_gb``; ``disk`` reads them from disk; ``memory`` decodes once per
            run and writes no files; ``none`` decodes every image in every epoch.
        cache_dir: folder of the image cache (``auto`` and ``disk``).
        memory_budget_gb: maximum size of the images in memory (``auto``), in gigabytes.
        unreadable: what to do with unreadable images. ``error`` lists them and stops; ``skip`` lists them and
            continues without them.
    """

    def __init__(
        self,
        root: str = "data/",
        image_size: int = 224,
        fit: Fit = "crop",
        num_channels: Literal[1, 3] = 3,
        batch_size: int = 32,
        num_workers: int = 0,
        augmentation: AugmentationName = "standard",
        mirror: bool = True,
        val_fraction: float = 0.15,
        test_fraction: float = 0.15,
        split_seed: int = 0,
        splits: str | None = None,
        imbalance: Literal["none", "loss_weights", "sampler"] = "none",
        cache: Literal["auto", "memory", "disk", "none"] = "auto",
        cache_dir: str = "data/cache",
        memory_budget_gb: float = 4.0,
        unreadable: Literal["error", "skip"] = "error",
    ) -> None:
        super().__init__(batch_size, num_workers, augmentation, val_fraction, split_seed)
        require_positive("image_size", image_size)
        require_fraction("test_fraction", test_fraction)
        self.root = Path(root)
        self.image_size = image_size
        self.fit = fit
        self.num_channels = num_channels
        self.mirror = mirror
        self.test_fraction = test_fraction
        self.splits = splits
        self.imbalance = imbalance
        self.cache = cache
        self.cache_dir = Path(cache_dir)
        self.memory_budget_gb = memory_budget_gb
        self.unreadable = unreadable

    @property
    def facts(self) -> ImageFacts:
        mean = IMAGENET_MEAN if self.num_channels == 3 else [sum(IMAGENET_MEAN) / 3]
        std = IMAGENET_STD if self.num_channels == 3 else [sum(IMAGENET_STD) / 3]
        weights = self.class_weights.tolist() if self.imbalance == "loss_weights" else None
        return ImageFacts(self.index.class_names, self.num_channels, self.image_size, mean, std, self.fit, weights)

    @property
    def class_weights(self) -> Tensor:
        """(K,) weights N / (K * images of the class), over training images; a class of average size has weight 1."""
        labels = torch.tensor([label for _, label in self.split_files["train"]])
        counts = labels.bincount(minlength=len(self.index.class_names))
        return len(labels) / (len(counts) * counts)

    def train_sampler(self, dataset: BatchDataset) -> DistributedSampler[Batch]:
        if self.imbalance != "sampler":
            return super().train_sampler(dataset)
        return WeightedSampler(self.class_weights[dataset.split.labels], *self._share, seed=training_seed())

    @cached_property
    def index(self) -> FolderIndex:
        return index_folder(self.root)

    @cached_property
    def split_files(self) -> dict[Split, list[tuple[Path, int]]]:
        """The files of all splits: from the manifest, else from folders, with missing splits carved from train."""
        manifest = Path(self.splits) if self.splits else self.root / FILE_NAME
        if self.splits or manifest.exists():
            log.info("splits from %s", manifest)
            return assign(self.index, read_manifest(manifest), manifest)
        self._require_an_image_for_each_split()
        files = dict(self.index.files)
        fractions: dict[Split, float] = {"test": self.test_fraction, "val": self.val_fraction}
        for split, fraction in fractions.items():
            if split not in files:
                num_kept = 2 if split == "test" and "val" not in files else 1
                files["train"], files[split] = self._carve(files["train"], split, fraction, num_kept)
        return files

    def prepare_data(self) -> None:
        """Decode new files into the cache, on one process."""
        if self.cache in {"auto", "disk"}:
            ImageCache(self.cache_dir, self.decoding).open(self._all_files(), self.file_digests, "decoding")

    def load_split(self, split: Split) -> LabelledImages:
        files = [file for file, _ in self.split_files[split]]
        images, failures = self._open(files, f"decoding {split}")
        if failures:
            self._report(split, failures)
        kept = [(file, label) for file, label in self.split_files[split] if file not in failures]
        names = [file.relative_to(self.root).as_posix() for file, _ in kept]
        return LabelledImages(images, torch.tensor([label for _, label in kept]), names)

    def load_digests(self, split: Split) -> Tensor:
        return short_digests(self.file_digests[self.root / name] for name in self.split(split).names)

    @cached_property
    def file_digests(self) -> dict[Path, str]:
        """Digest of each file's content, cached next to the decoded images."""
        is_remembered = self.cache in {"auto", "disk"} or (self.cache_dir / DIGESTS).is_file()
        return FileDigests(self.cache_dir if is_remembered else None).of([file for file, _ in self.index.all_files()])

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.image_size, self.num_channels, self.fit)

    def _open(self, files: list[Path], description: str) -> tuple[Images, dict[Path, str]]:
        """The images of the readable files, and the reason for each unreadable file."""
        if self.cache == "none":
            return UndecodedImages(files, self.decoding), {}
        if self.cache == "memory":
            return decode_into_memory(files, self.decoding, description)
        mapped, failures = ImageCache(self.cache_dir, self.decoding).open(files, self.file_digests, description)
        in_memory = self.cache == "auto" and self._num_bytes() <= self.memory_budget_gb * 1e9
        return (mapped.load() if in_memory else mapped), failures

    def _all_files(self) -> list[Path]:
        return [file for files in self.split_files.values() for file, _ in files]

    def _num_bytes(self) -> int:
        """Size of all decoded images, in bytes."""
        return len(self._all_files()) * self.decoding.num_bytes

    def _require_an_image_for_each_split(self) -> None:
        """Refuse a class with fewer training images than splits to carve from them."""
        carved = [split for split in SPLITS if split == "train" or split not in self.index.files]
        counts = Counter(label for _, label in self.index.files["train"])
        for label, name in enumerate(self.index.class_names):
            if counts[label] < len(carved):
                raise UserError(
                    f"class {name!r} has {counts[label]} of {len(self.index.files['train'])} images, and "
                    f"{len(carved)} are needed, one for each of {', '.join(carved)}. Add images to the class, or "
                    "remove its folder; audit lists all such classes."
                )

    def _carve(
        self, files: list[tuple[Path, int]], split: Split, fraction: float, num_kept: int
    ) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]]]:
        digests, labels = [self.file_digests[file] for file, _ in files], [label for _, label in files]
        if len(set(digests)) == 1:
            raise UserError(
                f"data.root is {str(self.root)!r}, and all {len(files):,} images are the same file, so a model cannot "
                "learn from them. Check how they were copied."
            )
        kept, carved = carve_by_content(
            digests,
            labels,
            fraction,
            self.split_seed,
            name=split,
            class_names=self.index.class_names,
            num_kept=num_kept,
        )
        log.info("no %s folder: carved %d of %d training images, by their content", split, len(carved), len(files))
        return [files[i] for i in kept], [files[i] for i in carved]

    def _report(self, split: Split, reasons: dict[Path, str]) -> None:
        shown = "; ".join(f"{path}: {why}" for path, why in list(reasons.items())[:NUM_REASONS_SHOWN])
        more = f"; and {len(reasons) - NUM_REASONS_SHOWN} more" if len(reasons) > NUM_REASONS_SHOWN else ""
        message = f"{len(reasons)} of {len(self.split_files[split])} {split} images cannot be read: {shown}{more}."
        if self.unreadable == "error":
            raise UserError(f"{message} Repair or remove them, or skip them with --data.unreadable skip.")
        log.warning("%s They are skipped.", message)
