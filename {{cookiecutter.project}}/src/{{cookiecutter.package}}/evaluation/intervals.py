"""How far a number measured on so many test images can be trusted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def accuracy_interval(
    is_correct: NDArray[np.bool_], confidence: float = 0.95, num_resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap (Efron, 1979) of an accuracy: what other test sets of this size would have given.

    To draw N of N values that are 0 or 1, with replacement, and to add them up is one draw of a binomial distribution.

    Args:
        is_correct: (N,) whether each image is classified right.
        confidence: share of the resamples within the interval.
        num_resamples: how often N images are drawn.
        seed: of the draws.

    Returns:
        lower and upper end, in 0 to 1.
    """
    num = len(is_correct)
    draws = np.random.default_rng(seed).binomial(num, is_correct.mean(), num_resamples) / num
    lower, upper = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(lower), float(upper)
