"""Calibration, accuracy against coverage, and likely mislabelled images of a tested model."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ...engine.calibration import NUM_BINS, calibration_error
from ...engine.results import SplitOutputs


@dataclass(frozen=True)
class Calibration:
    ece: float  # expected calibration error, 0 to 1
    nll: float  # negative log-likelihood, averaged over the images
    bins: NDArray[np.float64]  # of ``reliability``


def measure_calibration(outputs: SplitOutputs, temperature: float = 1.0) -> Calibration:
    """Measure with logits divided by ``temperature`` (Guo et al., 2017, section 4.2)."""
    outputs = replace(outputs, temperature=temperature)
    nll = F.cross_entropy(torch.from_numpy(outputs.logits) / temperature, torch.from_numpy(outputs.labels))
    bins = reliability(outputs.probabilities.max(axis=1), outputs.is_correct)
    return Calibration(calibration_error(outputs), float(nll), bins)


def reliability(confidence: NDArray[np.float32], is_correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bins of a reliability diagram: images whose confidence is in one of ``NUM_BINS`` equal intervals of [0, 1].

    From arrays (N,) to (B, 3): number of images, mean confidence and accuracy of the B bins that are not empty.
    """
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    members = [bins == number for number in np.unique(bins)]
    return np.array([[images.sum(), confidence[images].mean(), is_correct[images].mean()] for images in members])


def verdict(temperature: float, before: Calibration, after: Calibration) -> str:
    """Whether the model is overconfident or underconfident, and whether the test images agree, in a sentence.

    The temperature is that of the validation images, the calibrations are those of the test images without and with it.
    """
    if 1 / 1.05 < temperature < 1.05:
        return "The temperature is near 1: the model is neither overconfident nor underconfident."
    direction = "overconfident" if temperature > 1 else "underconfident"
    if after.ece > before.ece:
        return (
            f"On the validation images the model is {direction}, but not on the test images: with the temperature, "
            f"their calibration error rises from {before.ece:.2%} to {after.ece:.2%}."
        )
    return f"The model is {direction}."


def coverage_curve(
    confidence: NDArray[np.float32], is_correct: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coverage and accuracy if only the 1, 2, ... N most confident images are answered (El-Yaniv and Wiener, 2010).

    Confidence is the highest probability of each image. All arrays are (N,); coverage rises from 1 / N to 1.
    """
    surest_first = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(confidence) + 1)
    return answered / len(answered), np.cumsum(is_correct[surest_first]) / answered


def why_not_judged(accuracy: float) -> str | None:
    """Why the accuracy of the model is too low to find mislabelled images; None if it is high enough.

    Images are suspected if the model contradicts their label. If the model is often wrong, most suspects are mistakes
    of the model: a model with 70 % accuracy suspected 53 images, and all of their labels were correct.
    """
    if accuracy >= 0.9:
        return None
    found = f"The model classifies {100 * accuracy:.1f} % of the validation and test images correctly"
    return f"{found}. Below 90 %, most images whose label it contradicts are mistakes of the model, so none are shown."


def find_suspects(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Find images that are likely to be mislabelled by confident learning (Northcutt et al., 2021, section 3.1).

    The threshold of a class is the mean probability of the class over the images with its label. An image is suspected
    if the model predicts another class than its label, and the probability of another class reaches its threshold.
    The probabilities (N, K) must be of images that the model was not trained on; labels are (N,).

    Returns the position of each suspect and the class that it probably belongs to, ordered by how far the probability
    of that class exceeds that of the label, largest first.
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
    flagged = np.flatnonzero((probabilities.argmax(axis=1) != labels) & np.isfinite(excess))
    largest_first = flagged[np.argsort(-excess[flagged], kind="stable")]
    return list(zip(largest_first.tolist(), suggested[largest_first].tolist(), strict=True))
