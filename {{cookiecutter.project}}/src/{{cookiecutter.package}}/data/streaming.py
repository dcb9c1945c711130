"""A data set that ``pack`` has written, read from a disk or an object store during training."""

from functools import cached_property
from typing import Literal

from torch import Tensor
from torch.utils.data import DataLoader

from ..engine.batches import TrainingLoader, training_seed
from ..engine.images import Batch, LabelledImages
from ..engine.reading import require_values
from ..engine.splits import Split
from ..engine.streaming.chunks import PackedDataset
from ..engine.streaming.order import ChunkedBatches, ChunkOrder, StreamedDataset
from ..facts import Fit, ImageFacts
from ..predictor import Decoding
from ..values import Count, NonNegative, NumWorkers, Positive, Size
from .augmentation import AugmentationName, build_augmentation
from .base import ImageDataModule


class StreamingImageDataModule(ImageDataModule):
    """A packed data set of any size. Chunks of an object store are cached on disk, up to ``cache_gb``.

    An epoch shows each image exactly once over all processes. The order is a function of seed and epoch, so that a
    training resumes at the same image.

    Args:
        root: the data set that ``pack`` has written: a folder, or a URL such as ``s3://bucket/photos``.
        image_size: side of the square images, in pixels; None takes that of the packed data set, or 224 if it has none.
        fit: how images are made square (``crop``, ``pad``, ``squash``); None takes that of the packed data set.
        num_channels: 3 (RGB) or 1 (grey); None takes that of the packed data set.
        num_workers: loader processes; 0 decodes in threads, between training steps.
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
        image_size: Size | None = None,
        fit: Fit | None = None,
        num_channels: Literal[1, 3] | None = None,
        batch_size: Count = 32,
        num_workers: NumWorkers = 0,
        augmentation: AugmentationName = "standard",
        mirror: bool = True,
        imbalance: Literal["none", "loss_weights"] = "none",
        shuffle_chunks: Count = 16,
        cache_dir: str = "data/cache",
        cache_gb: Positive = 10.0,
        retry_minutes: NonNegative = 10.0,
        endpoint_url: str | None = None,
    ) -> None:
        require_values(type(self), locals(), "data")
        super().__init__(batch_size=batch_size, num_workers=num_workers, augmentation=augmentation)
        self.image_size = image_size
        self.fit = fit
        self.num_channels = num_channels
        self.mirror = mirror
        self.imbalance = imbalance
        self.shuffle_chunks = shuffle_chunks
        self.packed = PackedDataset(root, cache_dir, cache_gb, retry_minutes, endpoint_url)

    @cached_property
    def decoding(self) -> Decoding:
        return self.packed.description.decoding(self.image_size, self.num_channels, self.fit)

    @property
    def facts(self) -> ImageFacts:
        return self.packed.description.facts(self.decoding, is_weighted=self.imbalance == "loss_weights")

    @cached_property
    def split_hash(self) -> str:
        return self.packed.description.split_hash

    def load_split(self, split: Split) -> LabelledImages:
        return self.packed.split(split, self.decoding)

    def load_digests(self, split: Split) -> Tensor | None:
        return self.packed.digests(split)

    def require_variety(self) -> None:
        """Not checked: images are read from the store when they are trained on, and ``audit`` has seen them all."""

    def train_dataloader(self) -> DataLoader[Batch]:
        augmentation = build_augmentation(self.augmentation, self.facts.image_size, mirror=self.mirror)
        dataset = StreamedDataset(self.split("train"), augmentation)
        chunks = self.packed.chunks("train")
        num_processes = self._share[0] // getattr(self.trainer, "num_nodes", 1)  # on this machine
        self.packed.cache.require_room(chunks, num_processes, self.shuffle_chunks)
        sizes = [chunk.num_images for chunk in chunks]
        order = ChunkOrder(sizes, self.shuffle_chunks, *self._share, seed=training_seed())
        return TrainingLoader(dataset, ChunkedBatches(order, self.batch_size), **self._loader_options)
