"""Calibration: of the images predicted with 80 %, 80 % should be correct."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_calibration_error

from ..outputs import SplitOutputs

NUM_BINS = 15
NEAR_ONE = 1.05  # temperatures below it, and above its inverse, change little
TEMPERATURES = (0.05, 20.0)  # limits; outside of them, probabilities are 0 and 1, or uniform


@dataclass(frozen=True)
class Bin:
    """Images whose highest probability is in one of ``NUM_BINS`` equal intervals of [0, 1].

    Attributes:
        num_images: number of images in the bin, at least 1.
        confidence: mean of their highest probabilities.
        accuracy: share of them that is classified correctly.
    """

    num_images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Calibration of a model on one split at one temperature.

    Attributes:
        ece: expected calibration error, 0 to 1.
        nll: negative log-likelihood, averaged over the images.
        bins: non-empty bins in ascending order.
    """

    ece: float
    nll: float
    bins: list[Bin]


def measure_calibration(outputs: SplitOutputs, temperature: float = 1.0) -> Calibration:
    """Measure with logits divided by ``temperature`` (Guo et al., 2017, sections 2 and 4.2)."""
    logits, labels = torch.from_numpy(outputs.logits) / temperature, torch.from_numpy(outputs.labels)
    probabilities = logits.softmax(dim=1)
    ece = multiclass_calibration_error(probabilities, labels, logits.shape[1], n_bins=NUM_BINS, norm="l1")
    bins = reliability(probabilities.amax(dim=1).numpy(), outputs.is_correct)
    return Calibration(float(ece), float(F.cross_entropy(logits, labels)), bins)


def reliability(confidence: NDArray[np.float32], is_correct: NDArray[np.bool_]) -> list[Bin]:
    """Bins of a reliability diagram.

    Args:
        confidence: (N,) highest probability of each image.
        is_correct: (N,) whether the image is classified correctly.
    """
    number = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    members = [number == position for position in range(NUM_BINS)]
    return [
        Bin(int(of_bin.sum()), float(confidence[of_bin].mean()), float(is_correct[of_bin].mean()))
        for of_bin in members
        if of_bin.any()
    ]


def fit_temperature(outputs: SplitOutputs) -> float | None:
    """Fit the temperature that maximises the likelihood of a split, usually validation (Guo et al., 2017, section 4.2).

    Returns:
        divisor of the logits; above 1 if the model is overconfident. None if all images are classified correctly: the
        likelihood then has no maximum, because it always grows as the temperature falls.
    """
    if outputs.is_correct.all():
        return None
    logits, labels = torch.from_numpy(outputs.logits).double(), torch.from_numpy(outputs.labels)
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(logits / log_temperature.exp(), labels)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return log_temperature.detach().exp().clamp(*TEMPERATURES).item()


def verdict(temperature: float, before: Calibration, after: Calibration) -> str:
    """A sentence that says whether the model is overconfident or underconfident, and whether the test images agree.

    Args:
        temperature: temperature fitted on the validation images.
        before: calibration on the test images without temperature.
        after: calibration on the test images with temperature.
    """
    if 1 / NEAR_ONE < temperature < NEAR_ONE:
        return "The temperature is near 1: the model is neither overconfident nor underconfident."
    direction = "overconfident" if temperature > 1 else "underconfident"
    if after.ece > before.ece:
        return (
            f"On the validation images the model is {direction}, but not on the test images: with the temperature, "
            f"their calibration error rises from {before.ece:.2%} to {after.ece:.2%}. Use the probabilities without "
            "temperature."
        )
    return f"The model is {direction}."
