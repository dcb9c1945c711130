"""How far a measured accuracy can be trusted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
NUM_RESAMPLES = 10_000


def accuracy_interval(
    is_correct: NDArray[np.bool_], confidence: float = CONFIDENCE, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of an accuracy (Efron and Tibshirani, 1993, chapter 13).

    The number of right ones among N images drawn with replacement is binomial, and is drawn as such: the same
    distribution as that of drawing images, without their N x resamples indices. Where all images are right, or none,
    resamples show no spread, and the interval's other end is the exact binomial one (Clopper and Pearson, 1934).

    Args:
        is_correct: (N,) whether each image is classified right.
        confidence: share of such intervals that hold the true accuracy.
        num_resamples: more make the ends steadier.
        seed: of the resamples.

    Returns:
        lower and upper end, in 0 to 1.

    Raises:
        ValueError: there is no image.
    """
    num, right = len(is_correct), int(np.count_nonzero(is_correct))
    if num == 0:
        raise ValueError("no image, no accuracy")
    tail = (1 - confidence) / 2
    if right in {0, num}:
        end = tail ** (1 / num)
        return (end, 1.0) if right else (0.0, 1 - end)
    resampled = np.random.default_rng(seed).binomial(num, right / num, num_resamples) / num
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)
