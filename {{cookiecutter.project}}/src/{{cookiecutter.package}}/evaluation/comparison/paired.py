"""Paired significance tests of two models on the same test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .candidate import Candidate

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class PairedTest:
    """McNemar's exact test of two candidates on the same test images.

    Attributes:
        first: a candidate.
        second: another one.
        only_first: number of images that only the first classifies correctly.
        only_second: number of images that only the second classifies correctly.
        p_value: probability of counts at least as unequal if both were equally good, after Holm's correction if there
            are several tests.
    """

    first: Candidate
    second: Candidate
    only_first: int
    only_second: int
    p_value: float

    @property
    def num_images(self) -> int:
        return len(self.first.images)

    @property
    def points(self) -> float:
        """Accuracy of the first minus that of the second, in percentage points."""
        return 100 * (self.only_first - self.only_second) / self.num_images

    @property
    def is_significant(self) -> bool:
        return self.p_value < SIGNIFICANCE

    @property
    def verdict(self) -> str:
        if self.only_first == self.only_second:
            return f"no difference in accuracy on {self.num_images:,} images"
        difference, p_value = f"the difference of {self.points:+.1f} points", format_p_value(self.p_value)
        if self.is_significant:
            return f"{difference} is real ({p_value})"
        return f"{difference} could be chance ({p_value})"


def format_p_value(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def against_each(best: Candidate, others: Sequence[Candidate]) -> list[PairedTest]:
    """Tests of the best candidate against each other one, corrected for their number."""
    return corrected([compare_pair(best, other) for other in others])


def all_pairs(candidates: Sequence[Candidate]) -> list[PairedTest]:
    """Tests of every pair, the higher-ranked candidate first, corrected for their number."""
    return corrected([compare_pair(first, second) for first, second in combinations(candidates, 2)])


def compare_pair(first: Candidate, second: Candidate) -> PairedTest:
    only_first = int((first.is_correct & ~second.is_correct).sum())
    only_second = int((second.is_correct & ~first.is_correct).sum())
    return PairedTest(first, second, only_first, only_second, mcnemar(only_first, only_second))


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of McNemar's test (Psychometrika 12, 1947), from the binomial distribution.

    Only images that exactly one of them classifies correctly count. If both are equally good, each of these is equally
    likely to be correct for either. Dietterich (Neural Computation 10, 1998) recommends this test for classifiers that
    were trained once.
    """
    from scipy.stats import binomtest

    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def corrected(tests: Sequence[PairedTest]) -> list[PairedTest]:
    p_values = holm(np.array([test.p_value for test in tests]))
    return [replace(test, p_value=float(p_value)) for test, p_value in zip(tests, p_values, strict=True)]


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correct M p-values for their number, so that one of them is below 0.05 by chance in at most 5 % of all cases.

    The smallest is multiplied by M, the next by M - 1, and so on; none may fall below the one before it (Holm,
    Scandinavian Journal of Statistics 6, 1979).

    Args:
        p_values: (M,) in any order.

    Returns:
        (M,) in the same order.
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return adjusted
