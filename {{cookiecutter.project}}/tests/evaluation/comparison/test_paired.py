from math import comb

import numpy as np
import pytest

from {{cookiecutter.package}}.evaluation.comparison.paired import (
    against_each,
    all_pairs,
    compare_pair,
    format_p_value,
    holm,
    mcnemar,
)

from .candidates import candidate


@pytest.mark.parametrize(("only_first", "only_second"), [(1, 9), (15, 25), (0, 6), (3, 2)])
def test_mcnemar_is_twice_the_tail_of_the_binomial_distribution(only_first: int, only_second: int) -> None:
    num = only_first + only_second
    tail = sum(comb(num, k) for k in range(min(only_first, only_second) + 1)) / 2**num
    assert mcnemar(only_first, only_second) == pytest.approx(min(1, 2 * tail))


def test_mcnemar_of_mlxtend_s_documentation() -> None:
    # Its table [[9945, 25], [15, 15]]: "p-value 0.154".
    assert mcnemar(25, 15) == pytest.approx(0.154, abs=5e-4)
    assert mcnemar(4, 4) == mcnemar(0, 0) == 1


def test_holm_by_hand() -> None:
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1, which may not be below the one before it.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1, 1])
    assert len(holm(np.array([]))) == 0


def test_verdicts() -> None:
    good = candidate("good", [True] * 20)
    bad = candidate("bad", [True] * 8 + [False] * 12)
    near = candidate("near", [True] * 19 + [False])
    assert compare_pair(good, bad).verdict == "the difference of +60.0 points is real (p < 0.001)"
    assert compare_pair(bad, good).verdict == "the difference of -60.0 points is real (p < 0.001)"
    assert compare_pair(good, near).verdict == ("the difference of +5.0 points could be chance (p = 1)")
    assert compare_pair(good, good).verdict == "no difference in accuracy on 20 images"
    assert format_p_value(0.0312) == "p = 0.031"


def test_several_comparisons_are_corrected() -> None:
    best, other = candidate("best", [True] * 20), candidate("other", [True] * 14 + [False] * 6)
    alone = 2 / 2**6
    assert [test.p_value for test in against_each(best, [other])] == [alone]
    assert [test.p_value for test in against_each(best, [other, other])] == [2 * alone, 2 * alone]
    assert not any(test.is_significant for test in against_each(best, [other, other]))
    pairs = all_pairs([best, other, best])
    assert [(test.only_first, test.only_second) for test in pairs] == [(6, 0), (0, 0), (0, 6)]
    assert [test.p_value for test in pairs] == [3 * alone, 1, 3 * alone]
