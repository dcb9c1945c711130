from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from {{cookiecutter.package}}.engine.record import RunRecord
from {{cookiecutter.package}}.engine.results import SplitOutputs
from {{cookiecutter.package}}.tools.compare.candidates import Candidate, Run, candidate_of
from {{cookiecutter.package}}.tools.compare.comparison import (
    disagreements,
    format_p_value,
    further_metrics,
    holm,
    mcnemar,
    paired_tests,
)

from .candidates import SUMMARY, candidate


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

    def verdict(first: Candidate, second: Candidate) -> str:
        (test,) = paired_tests([(first, second)])
        return test.verdict

    assert verdict(good, bad) == "the difference of +60.0 points is real (p < 0.001)"
    assert verdict(bad, good) == "the difference of -60.0 points is real (p < 0.001)"
    assert verdict(good, near) == "the difference of +5.0 points could be chance (p = 1)"
    assert verdict(good, good) == "no difference in accuracy on 20 images"
    assert format_p_value(0.0312) == "p = 0.031"


def test_several_comparisons_are_corrected() -> None:
    best, other = candidate("best", [True] * 20), candidate("other", [True] * 14 + [False] * 6)
    alone = 2 / 2**6
    assert [test.p_value for test in paired_tests([(best, other)])] == [alone]
    assert [test.p_value for test in paired_tests([(best, other)] * 2)] == [2 * alone, 2 * alone]
    assert not any(test.is_significant for test in paired_tests([(best, other)] * 2))
    pairs = paired_tests(combinations([best, other, best], 2))
    assert [(test.only_first, test.only_second) for test in pairs] == [(6, 0), (0, 0), (0, 6)]
    assert [test.p_value for test in pairs] == [3 * alone, 1, 3 * alone]


def run(name: str, names: list[str], labels: list[int], shares_of_dog: list[float]) -> Run:
    shares = np.array([[1 - share, share] for share in shares_of_dog], dtype=np.float32)
    record = RunRecord(Path(name), {})
    record.__dict__["summary"] = SUMMARY
    return candidate_of(record, SplitOutputs(names, np.array(labels), np.log(shares)), name, by_content=False)


def test_images_are_matched_by_name_and_the_surest_come_first() -> None:
    first = run("first", ["9", "10", "8"], [0, 1, 1], [0.1, 0.6, 0.9])
    second = run("second", ["8", "9", "10"], [1, 0, 1], [0.8, 0.7, 0.4])
    assert first.keys == second.keys == [("10", "dog"), ("8", "dog"), ("9", "cat")]
    assert (first.is_correct.tolist(), second.is_correct.tolist()) == ([True, True, True], [False, True, False])
    surest, other = disagreements(first, second)
    assert (surest["name"], surest["true_class"], other["name"]) == ("9", "cat", "10")
    assert prediction(surest["first"]) == ("cat", 0.9, True)
    assert prediction(surest["second"]) == ("dog", 0.7, False)


def prediction(image: dict[str, Any]) -> tuple[str, float, bool]:
    return image["class_name"], round(image["probability"], 5), image["is_correct"]


def test_metrics_that_all_runs_have_are_found() -> None:
    usual: dict[str, Any] = {"test/acc": 0.5, "test/loss": 1.5, "test/balanced_acc": 0.5, "test/confusion": [[1]]}
    more, other = usual | {"test/top5": 0.9, "test/ece": 0.1}, usual | {"test/ece": 0.2, "test/top5": 0.8}
    assert further_metrics([usual]) == []
    assert further_metrics([more]) == further_metrics([more, other]) == ["test/top5", "test/ece"]
    assert further_metrics([more, usual]) == further_metrics([more, more | {"test/top5": None, "test/ece": None}]) == []
