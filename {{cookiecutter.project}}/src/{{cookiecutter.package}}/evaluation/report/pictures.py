"""Images of a split beside what the model says of them, small enough to be within the page."""

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
    """One image.

    Attributes:
        name: as the data set has it.
        true_class: its label.
        predicted_class: the likeliest class.
        shares: the likeliest classes with their probabilities, the likeliest first.
        picture: a data URL; None where the image is not there.
        suggested_class: what it may be where its label looks wrong.
        split: it is of.
    """

    name: str
    true_class: str
    predicted_class: str
    shares: dict[str, float]
    picture: str | None
    suggested_class: str | None
    split: Split


class Album:
    """The images of a run's splits, with what the model says of them.

    Args:
        outputs: of each split.
        class_names: K names.
        data: the data set of the run; None where it is gone.
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
        """The image at ``index`` of a split's outputs, with the class ``suggested`` where one is."""
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
        """Where each image of a split is, by name: files may have come or gone since the run."""
        names = [] if self.data is None else self.data.split(split).names
        return {name: position for position, name in enumerate(names)}


def open_data(run: RunRecord, splits: Iterable[Split]) -> tuple[ImageDataModule | None, str | None]:
    """The data set of a run with these splits, or why its images cannot be shown."""
    try:
        data = run.data
        if isinstance(data, ImageFolderDataModule):
            data.cache = "none"  # the few images that are shown are decoded, and not all of them into a cache
        for split in splits:
            data.split(split)
    except (UserError, OSError, RuntimeError) as error:  # torchvision raises the last one where files are missing
        return None, str(error)
    return data, None
