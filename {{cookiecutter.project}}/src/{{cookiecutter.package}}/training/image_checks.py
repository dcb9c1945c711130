"""Checks for test images that the model was trained on, before a training or a test starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from ..data import ImageDataModule
from ..data.splits import Split
from ..evaluation.seen_images import SeenImages, require_unseen, seen_by, seen_within
from ..program import program_name

log = logging.getLogger(__name__)

OTHER_SPLIT = (
    "Use the data and splits of its training (leave out --data options), or images that it was not trained on."
)


class CountTestCopies(Callback):
    """Counts, before the first epoch, the test images that are also training images.

    Copies within the data set are reported. Images that the initial weights were trained on are refused.

    Args:
        data: data set of the training.
        earlier: digests of the images that the initial weights were trained on.
        is_allowed: whether test images may be among these.
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
                "The weights of --init_from were trained on these images. Remove them from the test split, or start "
                "from other weights.",
            )
        log.warning("%s%s", self.seen.sentence, f" {copies_advice()}" if copies else "")


class RefuseTrainedImages(Callback):
    """Refuses to evaluate a checkpoint on images that it was trained on.

    Args:
        checkpoint: the evaluated checkpoint.
        data: the data set that it is evaluated on.
        is_allowed: whether to evaluate anyway.
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
            log.warning("Cannot check whether the model was trained on these images: checkpoint or data is too old.")
        elif self.seen and not self.is_allowed:
            is_own_split = self.data.split_hash == self.checkpoint["bundle"].get("split_hash")
            require_unseen(self.seen, copies_advice() if is_own_split else OTHER_SPLIT)


def copies_advice() -> str:
    """What to do about copies of images within a data set."""
    command = f"{program_name()} audit FOLDER"
    return (
        f"They are copies within the data set. To list them: {command}; to move them away: {command} --quarantine DIR."
    )
