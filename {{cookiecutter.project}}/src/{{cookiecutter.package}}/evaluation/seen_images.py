"""Counts the test images that a model was trained on, by comparing the contents of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data import ImageDataModule
from ..data.splits import Split
from ..errors import UserError

TRAINED_ON = "trained_on"  # key of a checkpoint
ALLOW = "--allow_trained_images"


@dataclass(frozen=True)
class SeenImages:
    """Images of one split that the model has seen in training.

    Attributes:
        split: name of the split.
        num_images: number of images in the split.
        num_trained: number of images that the model or its initial weights were trained on.
        num_validated: number of other images that were used to choose the best epoch.
    """

    split: Split
    num_images: int
    num_trained: int = 0
    num_validated: int = 0

    def __bool__(self) -> bool:
        return self.num_trained + self.num_validated > 0

    @property
    def sentence(self) -> str:
        """A sentence on the seen images, to show beside the result."""
        parts = []
        if self.num_trained:
            parts.append(f"{self.num_trained:,} {were(self.num_trained)} trained on")
        if self.num_validated:
            parts.append(f"{self.num_validated:,} {were(self.num_validated)} used to choose the best epoch")
        name = {"test": "test", "val": "validation", "train": "training"}[self.split]
        return f"Of the {self.num_images:,} {name} images {' and '.join(parts)}, so the result is too optimistic."


def were(count: int) -> str:
    return "was" if count == 1 else "were"


def trained_on(data: ImageDataModule, earlier: Tensor | None) -> dict[str, Tensor]:
    """Digests of the images that a model was trained on, int64 (N,), for its checkpoint; empty if not available.

    Args:
        data: data set of the training.
        earlier: digests of the images that its initial weights were trained on.
    """
    train, val = data.digests("train"), data.digests("val")
    if train is None or val is None:
        return {}
    return {"train": train, "val": val, "earlier": torch.empty(0, dtype=torch.int64) if earlier is None else earlier}


def all_digests(checkpoint: Mapping[str, Any]) -> Tensor | None:
    """Digests of all images that a checkpoint was trained on; None if it does not contain them."""
    known = checkpoint.get(TRAINED_ON)
    return torch.unique(torch.cat(list(known.values()))) if known else None


def seen_by(checkpoint: Mapping[str, Any], data: ImageDataModule, split: Split) -> SeenImages | None:
    """Count the images of a split that a checkpoint was trained on; None if the checkpoint or data set has no digests.

    Images that were used to choose the best epoch count only for the test split.
    """
    known, digests = checkpoint.get(TRAINED_ON), data.digests(split)
    if not known or digests is None:
        return None
    return count_seen(split, digests, torch.cat([known["train"], known["earlier"]]), known["val"])


def seen_within(data: ImageDataModule, earlier: Tensor | None) -> SeenImages | None:
    """Count the test images that are copies of training or validation images, or are in ``earlier``.

    Returns None if the data set has no digests.
    """
    train, val, test = (data.digests(split) for split in ("train", "val", "test"))
    if train is None or val is None or test is None:
        return None
    return count_seen("test", test, train if earlier is None else torch.cat([train, earlier]), val)


def count_seen(split: Split, digests: Tensor, train: Tensor, val: Tensor) -> SeenImages:
    is_trained = torch.isin(digests, train)
    is_validated = torch.isin(digests, val) & ~is_trained & (split == "test")
    return SeenImages(split, len(digests), int(is_trained.sum()), int(is_validated.sum()))


def require_unseen(seen: SeenImages, advice: str) -> None:
    """Raise a UserError if the model has seen any of the images."""
    if seen:
        raise UserError(f"{seen.sentence} {advice} To continue anyway and mark the result, give {ALLOW}.")


def require_same_images(checkpoint: Mapping[str, Any], data: ImageDataModule) -> None:
    """Check that a resumed training has the same training and validation images as before.

    Raises:
        UserError: images are new, missing or in another split; the message contains their number.
    """
    known = checkpoint.get(TRAINED_ON) or {}
    splits: tuple[tuple[Split, str], ...] = (("train", "training"), ("val", "validation"))
    for split, name in splits:
        digests = data.digests(split)
        if split not in known or digests is None:
            continue
        num_new = int((~torch.isin(digests, known[split])).sum())
        num_gone = int((~torch.isin(known[split], digests)).sum())
        if num_new or num_gone or len(digests) != len(known[split]):
            raise UserError(
                f"the {name} images differ from those of the run: {num_new:,} are new, {num_gone:,} are missing. "
                "Restore the data (give --data.root if it has moved), or start a new run from the weights of this "
                "one with --init_from."
            )
