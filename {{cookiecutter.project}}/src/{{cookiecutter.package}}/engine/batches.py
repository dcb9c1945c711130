"""Batches that depend only on seed, epoch and batch number, so that a training can resume exactly at any batch.

No random number depends on generator state, which a resumed process would not have. The order of the images is a
function of the epoch, and each batch carries the seed of its augmentation for the process that loads it.
"""

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler, Sampler

from ..errors import UserError
from .images import Batch, SeededIndices, keep_batch


def training_seed() -> int:
    """The seed of ``--seed_everything``, which Lightning stores in an environment variable."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


def mixed_seed(*numbers: int) -> int:
    """A 32-bit seed from several numbers; neighbouring numbers give unrelated seeds (O'Neill's seed sequence)."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class WeightedSampler(DistributedSampler[Batch]):
    """Draws N of N images with replacement by weight (N,), anew in each epoch, and divides them over the processes."""

    def __init__(self, weights: Tensor, num_replicas: int, rank: int, seed: int) -> None:
        super().__init__(range(len(weights)), num_replicas, rank, seed=seed)  # type: ignore[arg-type]
        self.weights = weights

    def __iter__(self) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch))
        drawn = torch.multinomial(self.weights, self.total_size, replacement=True, generator=generator)
        return iter(drawn[self.rank :: self.num_replicas].tolist())


class TrainingBatches(BatchSampler):
    """The batches of an epoch, each with its own seed. The next epoch starts at batch ``start``, later epochs at 0."""

    def __init__(self, sampler: DistributedSampler[Any], batch_size: int, drop_last: bool) -> None:
        super().__init__(sampler, batch_size, drop_last)
        self.order = sampler
        self.start = 0

    @property
    def smallest(self) -> int:
        """Number of images in the smallest batch."""
        num_images = len(self.order)
        rest = 0 if self.drop_last else num_images % self.batch_size
        return rest or min(self.batch_size, num_images)

    def __iter__(self) -> Iterator[list[int]]:
        start, self.start = self.start, 0
        for number, indices in enumerate(super().__iter__()):
            if number >= start:
                yield SeededIndices(indices, mixed_seed(self.order.seed, self.order.epoch, number, self.order.rank))


class EvaluationBatches(Sampler[list[int]]):
    """Serves each image once over all processes: of W processes, process r gets images r, r + W, r + 2 W, ...

    All have the same number of batches, because they synchronise at each; Lightning's sampler counts some images twice.
    """

    def __init__(self, num_images: int, batch_size: int, num_replicas: int, rank: int) -> None:
        if num_images < num_replicas:
            raise UserError(
                f"a split has {num_images} images for {num_replicas} processes; each process needs at least one. "
                "Use fewer processes (--trainer.devices)."
            )
        self.share = np.arange(rank, num_images, num_replicas)
        self.batch_size = batch_size
        self.num_batches = math.ceil(num_images / (batch_size * num_replicas))

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        return (part.tolist() for part in np.array_split(self.share, self.num_batches))


class TrainingLoader(DataLoader[Batch]):
    """A ``DataLoader`` that saves its position in the epoch and continues there when Lightning resumes."""

    batch_sampler: TrainingBatches

    def __init__(self, dataset: Dataset[Batch], batches: TrainingBatches, **options: Any) -> None:
        super().__init__(dataset, batch_sampler=batches, collate_fn=keep_batch, **options)
        self.position = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        self.position = self.batch_sampler.start
        for batch in super().__iter__():
            self.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.batch_sampler.start = state["position"]
