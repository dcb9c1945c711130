"""Abstention: accuracy of a model that answers only if its confidence reaches a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..outputs import SplitOutputs

COVERAGES = (1.0, 0.99, 0.95, 0.9, 0.8)


@dataclass(frozen=True)
class Answers:
    """Coverage and accuracy of a model that answers only if its highest probability reaches a threshold.

    Attributes:
        asked_coverage: share of the validation images that reach the threshold.
        threshold: lowest probability that counts as an answer.
        coverage: share of the test images that get an answer.
        num_images: number of test images that get an answer.
        accuracy: accuracy on these images; None if there are none.
    """

    asked_coverage: float
    threshold: float
    coverage: float
    num_images: int
    accuracy: float | None


def choose_threshold(confidence: NDArray[np.float32], coverage: float) -> float:
    """The highest threshold that at least a share of ``coverage`` of the images reaches; confidence is (N,)."""
    num_answered = max(1, math.ceil(coverage * len(confidence) - 1e-9))
    return float(np.sort(confidence)[-num_answered])


def answers_at(val: SplitOutputs, test: SplitOutputs, coverage: float) -> Answers:
    """Choose a threshold on the validation images and measure it on the test images."""
    threshold = 0.0 if coverage == 1 else choose_threshold(val.probabilities.max(axis=1), coverage)
    answered = test.probabilities.max(axis=1) >= threshold
    num = int(answered.sum())
    accuracy = float(test.is_correct[answered].mean()) if num else None
    return Answers(coverage, threshold, num / len(test), num, accuracy)


def coverage_curve(
    confidence: NDArray[np.float32], is_correct: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coverage and accuracy if only the 1, 2, ... N most confident images are answered (El-Yaniv and Wiener, 2010).

    Args:
        confidence: (N,) highest probability of each image.
        is_correct: (N,) whether the image is classified correctly.

    Returns:
        coverage (N,), from 1 / N to 1, and accuracy (N,) on the answered images.
    """
    surest_first = np.argsort(-confidence, kind="stable")
    answered = np.arange(1, len(confidence) + 1)
    return answered / len(answered), np.cumsum(is_correct[surest_first]) / answered
