"""The images of a run's data set, opened again after the run."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...data.labelled_images import LabelledImages
from ...data.splits import Split
from ...errors import UserError
from ...pages.rendering import thumbnail
from ..record import RunRecord


def open_split(record: RunRecord, split: Split) -> LabelledImages:
    """A split of the run's data set.

    Raises:
        UserError: its files are no longer there, or no longer what they were.
    """
    try:
        return record.data.split(split)
    except (OSError, RuntimeError) as error:  # what torchvision raises where MNIST is not there
        raise UserError(f"the images of {str(record.directory)!r} cannot be read: {error}") from error


def pictures(record: RunRecord, names: Sequence[str]) -> dict[str, str]:
    """Data URLs of test images by their names, without those that are no longer there.

    Raises:
        UserError: the images are no longer there.
    """
    split = open_split(record, "test")
    positions = {name: position for position, name in enumerate(split.names)}
    return {name: thumbnail(split.images[torch.tensor([positions[name]])][0]) for name in names if name in positions}
