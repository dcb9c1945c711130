"""Confidence interval of an accuracy; all pages and tables use this method."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


def accuracy_interval(is_correct: NDArray[np.bool_], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of an accuracy (Wilson, 1927; recommended by Brown, Cai and DasGupta, 2001).

    Both ends rise with every correctly classified image, so a result with a mistake never has a higher lower end than
    one without.

    Args:
        is_correct: (N,) whether each image is classified correctly.
        confidence: share of such intervals that contain the true accuracy.

    Returns:
        lower and upper end, in 0 to 1.

    Raises:
        ValueError: there is no image.
    """
    num, correct = len(is_correct), int(np.count_nonzero(is_correct))
    if num == 0:
        raise ValueError("is_correct is empty: an accuracy needs at least one image.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / num
    center = share + z**2 / (2 * num)
    half = z * math.sqrt(share * (1 - share) / num + z**2 / (4 * num**2))
    scale = 1 + z**2 / num
    lower = 0.0 if correct == 0 else (center - half) / scale  # exactly, without rounding
    upper = 1.0 if correct == num else (center + half) / scale
    return lower, upper
