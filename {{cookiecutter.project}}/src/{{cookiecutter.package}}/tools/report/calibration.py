"""Calibration, abstention and likely mislabelled images of a tested model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from ...engine.results import SplitOutputs

NUM_BINS = 15
COVERAGES = (1.0, 0.99, 0.95, 0.9, 0.8)  # shares of the images that get an answer


@dataclass(frozen=True)
class Calibration:
    ece: float  # expected calibration error, 0 to 1
    nll: float  # negative log-likelihood, averaged over the images
    bins: NDArray[np.float64]  # of ``reliability``


def measure_calibration(outputs: SplitOutputs, temperature: float = 1.0) -> Calibration:
    """Measure with logits divided by ``temperature`` (Guo et al., 2017, sections 2 and 4.2)."""
    logits, labels = torch.from_numpy(outputs.logits) / temperature, torch.from_numpy(outputs.labels)
    probabilities = logits.softmax(dim=1)
    ece = multiclass_calibration_error(probabilities, labels, logits.shape[1], n_bins=NUM_BINS, norm="l1")
    bins = reliability(probabilities.amax(dim=1).numpy(), outputs.is_correct)
    return Calibration(float(ece), float(F.cross_entropy(logits, labels)), bins)


def reliability(confidence: NDArray[np.float32], is_correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bins of a reliability diagram: images whose confidence is in one of ``NUM_BINS`` equal intervals of [0, 1].

    From arrays (N,) to (B, 3): number of images, mean confidence and accuracy of the B bins that are not empty.
    """
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    members = [bins == number for number in np.unique(bins)]
    return np.array([[images.sum(), confidence[images].mean(), is_correct[images].mean()] for images in members])


def fit_temperature(outputs: SplitOutputs) -> float | None:
    """Fit the temperature that maximises the likelihood of a split, usually validation (Guo et al., 2017, section 4.2).

    It divides the logits, and is above 1 if the model is overconfident. None if all images are classified correctly:
    the likelihood then has no maximum, because it always grows as the temperature falls.
    """
    if outputs.is_correct.all():
        return None
    from scipy.optimize import minimize_scalar

    logits, labels = torch.from_numpy(outputs.logits).double(), torch.from_numpy(outputs.labels)

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits / math.exp(log_temperature), labels).item()

    # Outside of these bounds, all probabilities are 0 and 1, or uniform.
    return math.exp(minimize_scalar(loss, bounds=(math.log(0.05), math.log(20.0))).x)


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
            f"their calibration error rises from {before.ece:.2%} to {after.ece:.2%}. Use the probabilities without "
            "temperature."
        )
    return f"The model is {direction}."


@dataclass(frozen=True)
class Answers:
    """Coverage and accuracy of a model that answers only if its highest probability reaches a threshold."""

    asked_coverage: float  # share of the validation images that reach the threshold
    threshold: float
    coverage: float  # share of the test images that get an answer
    num_images: int  # number of these test images
    accuracy: float | None  # accuracy on these; None if there are none


def answers_at(val: SplitOutputs, test: SplitOutputs, coverage: float) -> Answers:
    """Answers with the highest threshold that at least a share of ``coverage`` of the validation images reaches."""
    num_reached = max(1, math.ceil(coverage * len(val) - 1e-9))
    threshold = 0.0 if coverage == 1 else float(np.sort(val.probabilities.max(axis=1))[-num_reached])
    answered = test.probabilities.max(axis=1) >= threshold
    num = int(answered.sum())
    accuracy = float(test.is_correct[answered].mean()) if num else None
    return Answers(coverage, threshold, num / len(test), num, accuracy)


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
