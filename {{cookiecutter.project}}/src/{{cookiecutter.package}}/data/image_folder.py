"""Any folder of images, one subfolder a class."""

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
    """Photographs in ``root/<class>/*`` or ``root/{train,val,test}/<class>/*``; a missing split is carved from train.

    Args:
        root: the folder.
        image_size: side of the square images, in pixels.
        fit: how images are made square: the centre (``crop``), with borders (``pad``), or distorted (``squash``).
        num_channels: 3 (RGB) or 1 (grey).
        batch_size: images a training step and process; evaluation takes four times as many at once.
        num_workers: loader processes.
        augmentation: augmentation of the training images.
        mirror: whether a mirrored image keeps its class: not so for text, road signs or left and right hands.
        val_fraction: share of the training images, approximately, carved off where there is no ``val`` folder.
        test_fraction: share of the training images, approximately, carved off, first, where there is no ``test``
            folder.
        split_seed: which split a carved image is in follows from its content and this seed: new images move no old one.
        splits: a manifest that ``split`` has written, which says where each image is; None takes ``root/splits.csv``
            where there is one, and else the folders and fractions.
        imbalance: ``loss_weights`` counts an image in the training loss as much as its class is rare, ``sampler`` shows
            all classes equally often (images of rare ones repeatedly); ``none`` takes the images as they are.
        cache: where decoded images are kept. ``auto`` decodes each file once, for all runs, and holds the images in
            memory if they fit ``memory_budget_gb``; ``disk`` never holds them; ``memory`` writes nothing, and decodes
            once a run; ``none`` decodes every image again in every epoch.
        cache_dir: folder of ``auto`` and ``disk``.
        memory_budget_gb: of ``auto``, in gigabytes.
        unreadable: ``error`` lists the files that cannot be decoded and stops; ``skip`` lists them and goes on.
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
        """(K,) N / (K * images of the class), of training images, which is 1 for a class of average size."""
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
        """The files of all three splits: as the manifest says or, without one, missing ones carved from train."""
        manifest = Path(self.splits) if self.splits else self.root / FILE_NAME
        if self.splits or manifest.exists():
            log.info("splits are those of %s", manifest)
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
        """Decode what is new into the cache, on one process."""
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
        """Digest of the content of each file, remembered beside the decoded images where they are kept."""
        is_remembered = self.cache in {"auto", "disk"} or (self.cache_dir / DIGESTS).is_file()
        return FileDigests(self.cache_dir if is_remembered else None).of([file for file, _ in self.index.all_files()])

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.image_size, self.num_channels, self.fit)

    def _open(self, files: list[Path], description: str) -> tuple[Images, dict[Path, str]]:
        """The images of those files that can be read, and for each other one the reason."""
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
        """Of all splits, decoded."""
        return len(self._all_files()) * self.decoding.num_bytes

    def _require_an_image_for_each_split(self) -> None:
        """Refuse a class that has fewer training images than splits are taken from them."""
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
                f"data.root is {str(self.root)!r}, and all {len(files):,} images are the same file, so there is nothing "
                "to learn from them. Check how they were copied there."
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
        log.info("no %s folder: carved %d of %d training images, stratified", split, len(carved), len(files))
        return [files[i] for i in kept], [files[i] for i in carved]

    def _report(self, split: Split, reasons: dict[Path, str]) -> None:
        shown = "; ".join(f"{path}: {why}" for path, why in list(reasons.items())[:NUM_REASONS_SHOWN])
        more = f"; and {len(reasons) - NUM_REASONS_SHOWN} more" if len(reasons) > NUM_REASONS_SHOWN else ""
        message = f"{len(reasons)} of {len(self.split_files[split])} {split} images cannot be read: {shown}{more}."
        if self.unreadable == "error":
            raise UserError(f"{message} Mend or remove them, or leave them out with --data.unreadable skip.")
        log.warning("%s They are left out.", message)
