"""Images of a split with their predictions, as thumbnails that are embedded in the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from ...data import ImageDataModule, ImageFolderDataModule
from ...data.splits import Split
from ...errors import UserError
from ...pages.rendering import thumbnail
from ..outputs import SplitOutputs
from ..predictions import top_k
from ..record import RunRecord

NUM_BARS = 3


@dataclass(frozen=True)
class Card:
    """An image with its prediction.

    Attributes:
        name: name of the image in the data set.
        true_class: label of the image.
        predicted_class: most probable class.
        shares: probabilities of the most probable classes, highest first.
        picture: data URL of the thumbnail; None if the image is not available.
        suggested_class: class that the image probably belongs to, if its label is suspected to be wrong.
        split: split of the image.
    """

    name: str
    true_class: str
    predicted_class: str
    shares: dict[str, float]
    picture: str | None
    suggested_class: str | None
    split: Split


class Album:
    """The images of the splits of a run, with their predictions.

    Args:
        outputs: outputs of the model for each split.
        class_names: K names.
        data: data set of the run; None if it is not available.
    """

    def __init__(
        self, outputs: Mapping[Split, SplitOutputs], class_names: Sequence[str], data: ImageDataModule | None
    ) -> None:
        self.outputs = outputs
        self.class_names = class_names
        self.data = data
        self.probabilities = {split: of_split.probabilities for split, of_split in outputs.items()}
        self.positions = {split: self._positions(split) for split in outputs}

    def card(self, split: Split, index: int, suggested: int | None = None) -> Card:
        """Card of the image at ``index`` of a split, with the index of a suggested class if its label is suspected."""
        outputs, names = self.outputs[split], self.class_names
        shares = top_k(self.probabilities[split][index], names, NUM_BARS)
        return Card(
            name=outputs.names[index],
            true_class=names[outputs.labels[index]],
            predicted_class=next(iter(shares)),
            shares=shares,
            picture=self._picture(split, outputs.names[index]),
            suggested_class=None if suggested is None else names[suggested],
            split=split,
        )

    def _picture(self, split: Split, name: str) -> str | None:
        position = self.positions[split].get(name)
        if self.data is None or position is None:
            return None
        return thumbnail(self.data.split(split).images[torch.tensor([position])][0])

    def _positions(self, split: Split) -> dict[str, int]:
        """Current position of each image of a split, by name; files may have been added or removed since the run."""
        names = [] if self.data is None else self.data.split(split).names
        return {name: position for position, name in enumerate(names)}


def open_data(run: RunRecord, splits: Iterable[Split]) -> tuple[ImageDataModule | None, str | None]:
    """The data set of a run with the given splits, or the reason why its images cannot be shown."""
    try:
        data = run.data
        if isinstance(data, ImageFolderDataModule):
            data.cache = "none"  # decode only the images that are shown
        for split in splits:
            data.split(split)
    except (UserError, OSError, RuntimeError) as error:  # torchvision raises RuntimeError if files are missing
        return None, str(error)
    return data, None
