from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest

from {{cookiecutter.package}}.evaluation.intervals import accuracy_interval


def right(number: int, of: int) -> np.ndarray:
    return np.arange(of) < number


@pytest.mark.parametrize("num_images", [1, 2, 9, 210, 1000])
def test_every_mistake_lowers_both_ends(num_images: int) -> None:
    """One mistake once looked safer than none: 98.6 to 100 % of 209 of 210, beside 98.3 to 100 % of 210."""
    intervals = [accuracy_interval(right(number, of=num_images)) for number in range(num_images + 1)]
    assert all(fewer[0] < more[0] and fewer[1] < more[1] for fewer, more in pairwise(intervals))
    assert (intervals[0][0], intervals[-1][1]) == (0.0, 1.0)
    assert all(low <= k / num_images <= high for k, (low, high) in enumerate(intervals))


@pytest.mark.parametrize(("number", "of"), [(0, 10), (9, 9), (37, 153), (209, 210), (9876, 10_000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_agrees_with_scipy(number: int, of: int, confidence: float) -> None:
    expected = binomtest(number, of).proportion_ci(confidence, method="wilson")
    assert accuracy_interval(right(number, of), confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("num_images", "accuracy"), [(100, 0.8), (1000, 0.8), (200, 0.99)])
def test_covers_the_true_accuracy(num_images: int, accuracy: float) -> None:
    """95 of 100 intervals should; 300 experiments give or take 4 (three standard errors)."""
    rng = np.random.default_rng(0)
    experiments = [accuracy_interval(rng.random(num_images) < accuracy) for _ in range(300)]
    share = np.mean([low <= accuracy <= high for low, high in experiments])
    assert 0.91 <= share <= 0.99


def test_more_confidence_is_wider() -> None:
    narrow, wide = (accuracy_interval(right(80, of=100), confidence) for confidence in (0.9, 0.99))
    assert wide[0] < narrow[0] < 0.8 < narrow[1] < wide[1]


def test_no_image() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        accuracy_interval(right(0, of=0))
