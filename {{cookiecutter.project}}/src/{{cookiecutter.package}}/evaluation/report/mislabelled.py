"""Finds images that are likely to be mislabelled, for a person to check."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_ACCURACY = 0.9


def why_not_judged(accuracy: float) -> str | None:
    """Why the accuracy of the model is too low to find mislabelled images; None if it is high enough.

    Images are suspected if the model contradicts their label. If the model is often wrong, most suspects are mistakes
    of the model: a model with 70 % accuracy suspected 53 images, and all of their labels were correct.
    """
    if accuracy >= MIN_ACCURACY:
        return None
    return (
        f"The model classifies {100 * accuracy:.1f} % of the validation and test images correctly. Below "
        f"{100 * MIN_ACCURACY:.0f} %, most images whose label it contradicts are mistakes of the model, so none are "
        "shown."
    )


@dataclass(frozen=True)
class Suspect:
    """An image that may be mislabelled.

    Attributes:
        index: position of the image in the split.
        suggested: class that the image probably belongs to.
    """

    index: int
    suggested: int


def find_suspects(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> list[Suspect]:
    """Find images that are likely to be mislabelled by confident learning (Northcutt et al., 2021, section 3.1).

    The threshold of a class is the mean probability of the class over the images with its label. An image is suspected
    if the model predicts another class than its label, and the probability of another class reaches its threshold.

    Args:
        probabilities: (N, K), of images that the model was not trained on.
        labels: (N,) given labels, correct or not.

    Returns:
        suspects, ordered by how far the probability of the suggested class exceeds that of the label, largest first.
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
