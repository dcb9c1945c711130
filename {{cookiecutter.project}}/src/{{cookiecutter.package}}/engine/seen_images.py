"""Counts the test images that a model was trained on, by comparing the contents of images."""

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from ..errors import UserError, program_name
from .contracts import DataModule
from .splits import SPLIT_NAMES, Split

log = logging.getLogger(__name__)

TRAINED_ON = "trained_on"  # key of a checkpoint


@dataclass(frozen=True)
class SeenImages:
    """Images of one split that the model has seen in training; false if there are none."""

    split: Split
    num_images: int
    num_trained: int  # images that the model or its initial weights were trained on
    num_validated: int  # other images that were used to choose the best epoch

    def __bool__(self) -> bool:
        return self.num_trained + self.num_validated > 0

    @property
    def sentence(self) -> str:
        """A sentence on the seen images, to show beside the result."""
        counts = {"trained on": self.num_trained, "used to choose the best epoch": self.num_validated}
        parts = [f"{num:,} {'was' if num == 1 else 'were'} {use}" for use, num in counts.items() if num]
        images = f"Of the {self.num_images:,} {SPLIT_NAMES[self.split]} images"
        return f"{images} {' and '.join(parts)}, so the result is too optimistic."

    def refuse(self, advice: str) -> None:
        raise UserError(
            f"{self.sentence} {advice} To continue anyway and mark the result, give --allow_trained_images."
        )


def trained_on(data: DataModule, earlier: Tensor | None) -> dict[str, Tensor]:
    """Digests of the images that a model and its initial weights were trained on, by split; empty if not available."""
    train, val = data.digests("train"), data.digests("val")
    if train is None or val is None:
        return {}
    return {"train": train, "val": val, "earlier": torch.empty(0, dtype=torch.int64) if earlier is None else earlier}


def all_digests(checkpoint: Mapping[str, Any]) -> Tensor | None:
    """Digests of all images that a checkpoint was trained on; None if it does not contain them."""
    known = checkpoint.get(TRAINED_ON)
    return torch.unique(torch.cat(list(known.values()))) if known else None


def count_seen(known: Mapping[str, Tensor], data: DataModule, split: Split) -> SeenImages | None:
    """Count the images of a split among ``known``, from ``trained_on``; validation images only for the test split."""
    digests = data.digests(split)
    if not known or digests is None:
        return None
    is_trained = torch.isin(digests, torch.cat([known["train"], known["earlier"]]))
    is_validated = torch.isin(digests, known["val"]) & ~is_trained & (split == "test")
    return SeenImages(split, len(digests), int(is_trained.sum()), int(is_validated.sum()))


def require_same_images(checkpoint: Mapping[str, Any], data: DataModule) -> None:
    """Refuse to resume a training with other training or validation images than before."""
    known = checkpoint.get(TRAINED_ON) or {}
    for split, name in SPLIT_NAMES.items():
        digests = data.digests(split) if split in known else None
        if digests is None:
            continue
        num_new = int((~torch.isin(digests, known[split])).sum())
        num_gone = int((~torch.isin(known[split], digests)).sum())
        if num_new or num_gone or len(digests) != len(known[split]):
            raise UserError(
                f"the {name} images differ from those of the run: {num_new:,} are new, {num_gone:,} are missing. "
                "Restore the data (give --data.root if it has moved), or start a new run from the weights of this "
                "one with --init_from."
            )


@dataclass(eq=False)
class CountTestCopies(Callback):
    """Counts, before the first epoch, the test images that are also training images.

    Copies within the data set are reported. Images of the ``earlier`` training of the initial weights are refused.
    """

    data: DataModule
    earlier: Tensor | None
    is_allowed: bool
    seen: SeenImages | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.seen = count_seen(trained_on(self.data, self.earlier), self.data, "test")
        if not self.seen:
            return
        copies = count_seen(trained_on(self.data, None), self.data, "test")
        if copies != self.seen and not self.is_allowed:
            self.seen.refuse(
                "The weights of --init_from were trained on these images. Remove them from the test split, or start "
                "from other weights."
            )
        log.warning("%s%s", self.seen.sentence, f" {copies_advice(self.data)}" if copies else "")


@dataclass(eq=False)
class RefuseTrainedImages(Callback):
    """Refuses to evaluate a checkpoint on images that it was trained on, unless that is allowed."""

    checkpoint: Mapping[str, Any]
    data: DataModule
    is_allowed: bool
    seen: SeenImages | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        split: Split = "val" if stage == "validate" else "test"
        self.seen = count_seen(self.checkpoint.get(TRAINED_ON) or {}, self.data, split)
        if self.seen is None:
            log.warning("Cannot check whether the model was trained on these images: checkpoint or data is too old.")
        elif self.seen and not self.is_allowed:
            is_own_split = self.data.split_hash == self.checkpoint["bundle"].get("split_hash")
            other = "Use the data and splits of its training (leave out --data options), or images that it was not "
            self.seen.refuse(copies_advice(self.data) if is_own_split else f"{other}trained on.")


def copies_advice(data: Any) -> str:
    """What to do about copies of images within a data set."""
    index = getattr(data, "index", None)  # of a folder of images
    audit = f"{program_name()} audit {'FOLDER' if index is None else shlex.quote(str(index.root))}"
    return f"They are copies within the data set. To list them: {audit}; to move them away: {audit} --quarantine DIR."
