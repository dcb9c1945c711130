"""A model's outputs for all images of a split, in the split's order, gathered from all processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from torch import Tensor

from ..data import ImageDataModule
from ..data.splits import Split
from ..models import ImageClassifier
from ..training.processes import gather_in_order

FILE_NAME = "outputs.npz"


@dataclass(frozen=True)
class SplitOutputs:
    """Outputs for one split.

    Attributes:
        names: N image names of the data set.
        labels: int64 (N,), the true classes.
        logits: float32 (N, K).
        digests: int64 (N,), digests of the image contents; None if not available.
    """

    names: list[str]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    digests: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Softmax of the logits: (N, K)."""
        return torch.from_numpy(self.logits).softmax(dim=1).numpy()

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class with the highest logit: (N,)."""
        return self.logits.argmax(axis=1)

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """Whether the prediction is the true class: (N,)."""
        return self.predicted == self.labels


def outputs_of(data: ImageDataModule, split: Split, parts: Sequence[Tensor], trainer: Trainer) -> SplitOutputs:
    """Gather the logits that the processes computed for their shares of the split.

    Args:
        data: data set of the split.
        split: name of the split.
        parts: logits (B, K) of this process's batches, in order.
        trainer: trainer that connects the processes.
    """
    images = data.split(split)
    logits = gather_in_order(torch.cat([part.float().cpu() for part in parts]), trainer)
    num = len(logits)  # fewer than the split has if the trainer limits batches
    digests = data.digests(split)
    known = None if digests is None else digests[:num].numpy()
    return SplitOutputs(list(images.names[:num]), images.labels[:num].numpy(), logits.numpy(), known)


def predict_split(
    trainer: Trainer, model: ImageClassifier, data: ImageDataModule, split: Split
) -> tuple[SplitOutputs, float]:
    """Pass a split through the model.

    Returns:
        the outputs, and the milliseconds per image: from the decoded split, in batches, on this device.
    """
    loader = data.evaluation_loader(split)
    start = time.perf_counter()
    batches: Any = trainer.predict(model, loader)
    seconds = time.perf_counter() - start
    outputs = outputs_of(data, split, batches, trainer)
    return outputs, 1000 * seconds / max(1, len(outputs))


def save_outputs(directory: Path, outputs: dict[str, SplitOutputs]) -> None:
    """Write ``outputs.npz``: for each split, ``<split>_names``, ``_labels``, ``_logits`` and ``_digests``."""
    arrays: dict[str, Any] = {}
    for split, of_split in outputs.items():
        arrays |= {
            f"{split}_names": np.array(of_split.names, dtype=np.str_),
            f"{split}_labels": of_split.labels,
            f"{split}_logits": of_split.logits,
        }
        if of_split.digests is not None:
            arrays[f"{split}_digests"] = of_split.digests
    part = directory / f"{FILE_NAME}.part"
    with part.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    part.replace(directory / FILE_NAME)


def load_outputs(directory: Path, split: str) -> SplitOutputs | None:
    """Outputs of a split, from a run directory; None if the run did not reach its test."""
    file = directory / FILE_NAME
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as arrays:
        if f"{split}_logits" not in arrays:
            return None
        names, digests = arrays[f"{split}_names"].tolist(), arrays.get(f"{split}_digests")
        return SplitOutputs(names, arrays[f"{split}_labels"], arrays[f"{split}_logits"], digests)
