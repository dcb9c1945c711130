"""Images whose label looks wrong, for a person to judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_ACCURACY = 0.9


def why_not_judged(accuracy: float) -> str | None:
    """Why no image is suspected with a model of that accuracy; None where it is good enough for it.

    A label is suspected where the model contradicts it. Of a model that is often wrong, most of these images are its
    own mistakes: one of 70 % accuracy suspected 53 images, all of them labelled right.
    """
    if accuracy >= MIN_ACCURACY:
        return None
    return (
        f"The model classifies {100 * accuracy:.1f} % of the validation and test images right. Below "
        f"{100 * MIN_ACCURACY:.0f} %, most images whose label it contradicts are its own mistakes, so none is shown."
    )


@dataclass(frozen=True)
class Suspect:
    """An image that may be mislabelled.

    Attributes:
        index: its position in the split.
        suggested: the class that it may be of.
    """

    index: int
    suggested: int


def find_suspects(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> list[Suspect]:
    """Confident learning (Northcutt, Jiang and Chuang, 2021, section 3.1).

    A class's threshold is the mean probability that its own images get for it. Suspected is an image that the model
    takes for another class, and that reaches the threshold of a class other than its label's.

    Args:
        probabilities: (N, K), of images that the model was not trained on.
        labels: (N,) given classes, right or wrong.

    Returns:
        the suspects, the most blatant first: those whose label is least probable beside the class suggested.
    """
    everyone, num_classes = np.arange(len(labels)), probabilities.shape[1]
    given = probabilities[everyone, labels]
    counts = np.bincount(labels, minlength=num_classes)
    sums = np.bincount(labels, weights=given, minlength=num_classes)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)  # a class without images suggests nothing
    reached = np.where(probabilities >= thresholds, probabilities, -np.inf)
    reached[everyone, labels] = -np.inf
    suggested = reached.argmax(axis=1)
    excess = reached[everyone, suggested] - given
    flagged = (probabilities.argmax(axis=1) != labels) & np.isfinite(excess)
    most_blatant_first = sorted(np.flatnonzero(flagged), key=lambda index: -excess[index])
    return [Suspect(int(index), int(suggested[index])) for index in most_blatant_first]
