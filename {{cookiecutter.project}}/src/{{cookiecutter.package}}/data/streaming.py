"""A data set that ``pack`` has written, read from a disk or an object store during training."""

from __future__ import annotations

import hashlib
import logging
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..errors import UserError
from .augmentation import AugmentationName, build_augmentation
from .base import ImageDataModule, require_positive
from .decoding import Decoding
from .facts import Fit, ImageFacts
from .labelled_images import Batch, LabelledImages
from .loading import TrainingLoader, training_seed
from .packed.chunk_cache import ChunkCache, read_table
from .packed.chunk_order import ChunkedBatches, ChunkOrder, StreamedDataset
from .packed.description import DIGESTS, FILE_NAME, Chunk, Description, Names, array_from_bytes, from_index
from .packed.packed_images import PackedImages
from .packed.stores import FolderStore, MissingError, Store, StoreError, open_store, read_file
from .splits import Split

log = logging.getLogger(__name__)

FIRST_CONTACT_SECONDS = 10.0  # for the first request, so that a wrong address is reported soon
DEFAULT_IMAGE_SIZE = 224


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
        root: str,
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
        super().__init__(batch_size, num_workers, augmentation)
        require_positive("shuffle_chunks", shuffle_chunks)
        if image_size is not None:
            require_positive("image_size", image_size)
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
        self.cache_dir = Path(cache_dir) / hashlib.sha256(f"{endpoint_url} {root}".encode()).hexdigest()[:16]
        self.cache_gb = cache_gb
        self.retry_minutes = retry_minutes
        self.endpoint_url = endpoint_url

    @cached_property
    def store(self) -> Store:
        return open_store(self.root, self.endpoint_url)

    @cached_property
    def description(self) -> Description:
        """The content of ``dataset.json``.

        Raises:
            UserError: there is no such file, or the images were packed decoded with other settings than given.
        """
        try:
            content = read_file(self.store, FILE_NAME, FIRST_CONTACT_SECONDS)
            description = Description.from_json(content)
        except MissingError as error:
            raise UserError(
                f"data.root is {self.root!r}, which is not a packed data set: {self._why_missing()}"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"data.root is {self.root!r}, whose {FILE_NAME} cannot be read: {error}.") from error
        self._require_possible(description)
        return description

    def _why_missing(self) -> str:
        try:
            is_empty = self.store.is_empty()
        except StoreError as error:
            return str(error)
        except NotADirectoryError:
            return "it is a file."
        if isinstance(self.store, FolderStore) and not self.store.root.exists():
            return "there is no such folder."
        if is_empty:
            return "it is empty or does not exist."
        return f"it has no {FILE_NAME}. Pack a folder of images with pack ROOT OUT, and let it finish."

    def _require_possible(self, description: Description) -> None:
        asked = {"image_size": self.image_size, "fit": self.fit, "num_channels": self.num_channels}
        for name, value in asked.items():
            packed = getattr(description, name)
            if description.stored == "decoded" and value not in {None, packed}:
                raise UserError(
                    f"data.{name} is {value}, and {self.root!r} was packed decoded with {packed}. Leave it out, or "
                    "pack again without --decoded."
                )
        too_large = description.image_size is not None and (self.image_size or 0) > description.image_size
        if description.stored == "jpeg" and too_large:
            log.warning(
                "data.image_size is %d, and images packed at %d pixels are enlarged",
                self.image_size,
                description.image_size,
            )

    @property
    def decoding(self) -> Decoding:
        packed = self.description
        image_size = self.image_size or packed.image_size or DEFAULT_IMAGE_SIZE
        return Decoding(image_size, self.num_channels or packed.num_channels, self.fit or packed.fit)

    @property
    def facts(self) -> ImageFacts:
        packed, decoding = self.description, self.decoding
        mean, std = packed.mean, packed.std
        if decoding.num_channels != packed.num_channels:
            average = [sum(mean) / len(mean)], [sum(std) / len(std)]
            mean, std = (one * decoding.num_channels for one in average)
        weights = None
        if self.imbalance == "loss_weights":
            counts = torch.tensor(packed.splits["train"].counts)
            weights = (counts.sum() / (len(counts) * counts)).tolist()
        return ImageFacts(
            packed.class_names, decoding.num_channels, decoding.image_size, mean, std, decoding.fit, weights
        )

    @cached_property
    def split_hash(self) -> str:
        return self.description.split_hash

    @cached_property
    def cache(self) -> ChunkCache:
        return ChunkCache(self.store, self.cache_dir, int(self.cache_gb * 1e9), 60 * self.retry_minutes)

    def load_split(self, split: Split) -> LabelledImages:
        """Read the tables of a split; its images are read with each batch."""
        images = PackedImages(
            self.chunks(split),
            self.cache,
            self.decoding,
            is_decoded=self.description.stored == "decoded",
            read_ahead=split != "train",
        )
        labels = torch.from_numpy(array_from_bytes(self._table(split, "labels.npy")()))
        return LabelledImages(images, labels, Names(self._table(split, "names.txt")))

    def load_digests(self, split: Split) -> Tensor | None:
        """Of the files that were packed; None for a packing of an older version."""
        if DIGESTS not in self.description.splits[split].sha256:
            return None
        return torch.from_numpy(array_from_bytes(self._table(split, DIGESTS)()))

    def chunks(self, split: Split) -> list[Chunk]:
        return from_index(self._table(split, "index.json")(), split)

    def _table(self, split: Split, name: str) -> partial[bytes]:
        """Returns a function that reads a file of a split. It holds no data module, so that it can be pickled."""
        expected = self.description.splits[split].sha256[name]
        return partial(read_table, self.store, self.cache_dir, f"{split}/{name}", expected, 60 * self.retry_minutes)

    def require_variety(self) -> None:
        """Not checked: images are read from the store when they are trained on, and ``audit`` has seen them all."""

    def train_dataloader(self) -> DataLoader[Batch]:
        augmentation = build_augmentation(self.augmentation, self.facts.image_size, mirror=self.mirror)
        dataset = StreamedDataset(self.split("train"), augmentation)
        chunks = self.chunks("train")
        self._require_room(chunks)
        sizes = [chunk.num_images for chunk in chunks]
        order = ChunkOrder(sizes, self.shuffle_chunks, *self._share, seed=training_seed())
        return TrainingLoader(dataset, ChunkedBatches(order, self.batch_size), **self._loader_options)

    def _require_room(self, chunks: list[Chunk]) -> None:
        """Refuse a cache that is too small for the chunks that are shuffled together and the next ones."""
        if isinstance(self.store, FolderStore):
            return
        num_processes = self._share[0] // getattr(self.trainer, "num_nodes", 1)
        sizes = sorted((chunk.num_bytes for chunk in chunks), reverse=True)
        needed = min(2 * num_processes * sum(sizes[: self.shuffle_chunks]), sum(sizes))
        if self.cache_gb * 1e9 < needed:
            raise UserError(
                f"data.cache_gb is {self.cache_gb}; shuffling {self.shuffle_chunks} chunks together, with the next "
                f"ones in the cache, needs {needed / 1e9:.3g} on each machine. Give a larger --data.cache_gb or a "
                "smaller --data.shuffle_chunks."
            )
