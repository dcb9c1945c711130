"""Says or refuses, before an epoch or a test begins, what would make its numbers too good."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from ..data import ImageDataModule
from ..data.splits import Split
from ..evaluation.seen_images import SeenImages, require_unseen, seen_by, seen_within

log = logging.getLogger(__name__)

COPIES = "They are copies within the data set: `audit` lists them, and `audit --quarantine DIR` moves them away."
OTHER_SPLIT = (
    "Give the data and the split options of its training (leave out --data options), or images that it has never seen."
)


class CountTestCopies(Callback):
    """Counts, before the first epoch, the test images that are also trained on.

    Copies within a data set are said: they are the user's. Images that an earlier run was trained on, whose weights
    this one begins with, are refused.

    Args:
        data: of the training.
        earlier: digests of the images that shaped the weights it begins with.
        is_allowed: whether these may be among the test images.
    """

    def __init__(self, data: ImageDataModule, earlier: Tensor | None, *, is_allowed: bool) -> None:
        self.data = data
        self.earlier = earlier
        self.is_allowed = is_allowed
        self.seen: SeenImages | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.seen = seen_within(self.data, self.earlier)
        if not self.seen:
            return
        copies = seen_within(self.data, None)
        if self.earlier is not None and copies != self.seen and not self.is_allowed:
            require_unseen(
                self.seen,
                "The weights of --init_from come from a training on these images. Keep them out of the test split, or "
                "start from other weights.",
            )
        log.warning("%s%s", self.seen.sentence, f" {COPIES}" if copies else "")


class RefuseTrainedImages(Callback):
    """Refuses to evaluate a checkpoint on images that it was trained on.

    Args:
        checkpoint: that is evaluated.
        data: it is evaluated on.
        is_allowed: whether it is evaluated all the same.
    """

    def __init__(self, checkpoint: Mapping[str, Any], data: ImageDataModule, *, is_allowed: bool) -> None:
        self.checkpoint = checkpoint
        self.data = data
        self.is_allowed = is_allowed
        self.seen: SeenImages | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        split: Split = "val" if stage == "validate" else "test"
        self.seen = seen_by(self.checkpoint, self.data, split)
        if self.seen is None:
            log.warning("Whether the model was trained on these images is unknown: checkpoint or data set is too old.")
        elif self.seen and not self.is_allowed:
            is_own_split = self.data.split_hash == self.checkpoint["bundle"].get("split_hash")
            require_unseen(self.seen, COPIES if is_own_split else OTHER_SPLIT)
