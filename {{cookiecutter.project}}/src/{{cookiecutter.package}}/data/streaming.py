"""A data set that ``pack`` has written, read from a disk or an object store during training."""

from __future__ import annotations

import hashlib
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..engine.batches import TrainingLoader, training_seed
from ..engine.images import Batch, LabelledImages
from ..engine.splits import Split
from ..engine.streaming.chunks import ChunkCache, PackedImages
from ..engine.streaming.format import DIGEST_TABLE, Chunk, Description, Names, chunks_of, integers_of, read_description
from ..engine.streaming.order import ChunkedBatches, ChunkOrder, StreamedDataset
from ..engine.streaming.stores import open_store
from ..errors import UserError
from ..facts import Fit, ImageFacts
from ..predictor import Decoding
from .augmentation import AugmentationName, build_augmentation
from .base import ImageDataModule, require_positive


class StreamingImageDataModule(ImageDataModule):
    """A packed data set of any size. Chunks of an object store are cached on disk, up to ``cache_gb``.

    An epoch shows each image exactly once over all processes. The order is a function of seed and epoch, so that a
    training resumes at the same image.

    Args:
        root: the data set that ``pack`` has written: a folder, or a URL such as ``s3://bucket/photos``.
        image_size: side of the square images, in pixels; None takes that of the packed data set, or 224 if it has none.
        fit: how images are made square (``crop``, ``pad``, ``squash``); None takes that of the packed data set.
        num_channels: 3 (RGB) or 1 (grey); None takes that of the packed data set.
        batch_size: images of a training step, in each process; evaluation uses batches of four times this size.
        num_workers: loader processes; 0 decodes in threads, between training steps.
        augmentation: augmentation of the training images.
        mirror: whether a mirrored image keeps its class; false for text, road signs or left and right hands.
        imbalance: ``loss_weights`` weights images in the training loss inversely to the size of their class.
        shuffle_chunks: number of chunks whose images are shuffled together; the order of the chunks is shuffled too.
        cache_dir: folder for downloaded chunks.
        cache_gb: maximum size of that folder, in gigabytes, for all processes of the machine.
        retry_minutes: how long requests to a store that does not answer are repeated before the training ends.
        endpoint_url: of an S3-compatible server; None takes ``AWS_ENDPOINT_URL`` of the environment, or Amazon's.
    """

    def __init__(
        self,
        root: str = "packed/",
        image_size: int | None = None,
        fit: Fit | None = None,
        num_channels: Literal[1, 3] | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
        augmentation: AugmentationName = "standard",
        mirror: bool = True,
        imbalance: Literal["none", "loss_weights"] = "none",
        shuffle_chunks: int = 16,
        cache_dir: str = "data/cache",
        cache_gb: float = 10.0,
        retry_minutes: float = 10.0,
        endpoint_url: str | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers, augmentation=augmentation)
        require_positive("shuffle_chunks", shuffle_chunks)
        require_positive("image_size", 1 if image_size is None else image_size)
        if not cache_gb > 0 or retry_minutes < 0:
            raise UserError(
                f"data.cache_gb is {cache_gb} and data.retry_minutes is {retry_minutes}; cache_gb must be above 0, and "
                "retry_minutes 0 or more."
            )
        self.root = root
        self.image_size = image_size
        self.fit = fit
        self.num_channels = num_channels
        self.mirror = mirror
        self.imbalance = imbalance
        self.shuffle_chunks = shuffle_chunks
        self.store = open_store(root, endpoint_url)
        folder = Path(cache_dir) / hashlib.sha256(f"{endpoint_url} {root}".encode()).hexdigest()[:16]
        self.cache = ChunkCache(self.store, folder, int(cache_gb * 1e9), 60 * retry_minutes)

    @cached_property
    def description(self) -> Description:
        """The content of ``dataset.json``; raises a UserError if it cannot be read."""
        return read_description(self.store)

    @cached_property
    def decoding(self) -> Decoding:
        return self.description.decoding(self.image_size, self.num_channels, self.fit)

    @property
    def facts(self) -> ImageFacts:
        packed, decoding = self.description, self.decoding
        mean, std = packed.mean, packed.std
        if decoding.num_channels != packed.num_channels:
            mean, std = ([sum(values) / len(values)] * decoding.num_channels for values in (mean, std))
        weights = None
        if self.imbalance == "loss_weights":
            counts = torch.tensor(packed.splits["train"].counts)
            weights = (counts.sum() / (len(counts) * counts)).tolist()
        size, fit = decoding.image_size, decoding.fit
        return ImageFacts(packed.class_names, decoding.num_channels, size, mean, std, fit, weights)

    @cached_property
    def split_hash(self) -> str:
        return self.description.split_hash

    def load_split(self, split: Split) -> LabelledImages:
        """Read the tables of a split; its images are read with each batch."""
        chunks, is_decoded = self.chunks(split), self.description.stored == "decoded"
        images = PackedImages(chunks, self.cache, self.decoding, is_decoded=is_decoded, read_ahead=split != "train")
        labels = torch.from_numpy(integers_of(self._table(split, "labels.npy")()))
        return LabelledImages(images, labels, Names(self._table(split, "names.txt")))

    def load_digests(self, split: Split) -> Tensor | None:
        """Of the files that were packed; None for a packing of an older version."""
        if DIGEST_TABLE not in self.description.splits[split].sha256:
            return None
        return torch.from_numpy(integers_of(self._table(split, DIGEST_TABLE)()))

    def chunks(self, split: Split) -> list[Chunk]:
        return chunks_of(self._table(split, "index.json")(), split)

    def _table(self, split: Split, name: str) -> partial[bytes]:
        """Returns a function that reads a file of a split. It holds no data module, so that it can be pickled."""
        return partial(self.cache.read_table, f"{split}/{name}", self.description.splits[split].sha256[name])

    def require_variety(self) -> None:
        """Not checked: images are read from the store when they are trained on, and ``audit`` has seen them all."""

    def train_dataloader(self) -> DataLoader[Batch]:
        augmentation = build_augmentation(self.augmentation, self.facts.image_size, mirror=self.mirror)
        dataset = StreamedDataset(self.split("train"), augmentation)
        chunks = self.chunks("train")
        num_processes = self._share[0] // getattr(self.trainer, "num_nodes", 1)  # on this machine
        self.cache.require_room(chunks, num_processes, self.shuffle_chunks)
        sizes = [chunk.num_images for chunk in chunks]
        order = ChunkOrder(sizes, self.shuffle_chunks, *self._share, seed=training_seed())
        return TrainingLoader(dataset, ChunkedBatches(order, self.batch_size), **self._loader_options)
