"""The images of a run's data set, opened again after the run."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO

import torch
from PIL import Image
from torch import Tensor

from ...data.labelled_images import LabelledImages
from ...data.splits import Split
from ...errors import UserError
from ..record import RunRecord

THUMBNAIL_SIDE = 192
ENLARGED_SIDE = 64  # images up to this side are kept pixel by pixel


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
    return {name: data_url(split.images[torch.tensor([positions[name]])][0]) for name in names if name in positions}


def data_url(pixels: Tensor) -> str:
    """A PNG or JPEG picture of uint8 (C, H, W)."""
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy().squeeze())  # (H, W) where it is grey
    is_small = max(image.size) <= ENLARGED_SIDE
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    stream = BytesIO()
    image.save(stream, "PNG" if is_small else "JPEG")
    kind = "png" if is_small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
