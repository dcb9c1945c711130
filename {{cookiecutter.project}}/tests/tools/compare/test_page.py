from math import nan
from typing import Any

import pytest

from {{cookiecutter.package}}.tools.compare.candidates import MAJORITY, Candidate
from {{cookiecutter.package}}.tools.compare.page import (
    cells,
    headings,
    is_majority_hidden,
    percent,
    seed_row,
    short_count,
)

from .candidates import candidate, run


def test_numbers() -> None:
    assert [short_count(number) for number in (None, 812, 19_562, 3_373_570)] == ["-", "812", "19,562", "3.37 M"]
    assert (percent(0.98764, 359), percent(0.98764, 10_000)) == ("98.8 %", "98.76 %")


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("val/loss", [0.3, 0.1, 0.1, 0.2], "2 of 4"),
        ("val/acc", [0.3, 0.1, 0.9, 0.2], "3 of 4"),
        ("val/f1", [nan, 0.1], "2 of 4"),
        ("val/loss", [nan], ""),
    ],
)
def test_best_epoch_counts_from_one(monitor: str, values: list[float], best: str) -> None:
    tested = run("run", {}, monitor=monitor)
    tested.record.__dict__["epochs"] = [{"epoch": float(number), monitor: value} for number, value in enumerate(values)]
    assert cells(tested)[-1] == ("-", best)


def test_there_is_a_column_for_each_metric() -> None:
    metrics: dict[str, Any] = {"test/top5": 0.98765, "test/ece": 0.5}
    row = dict(zip(headings(list(metrics)), cells(candidate("run", **metrics), list(metrics)), strict=True))
    assert (row["top5", ""], row["ece", ""]) == (("0.9877", ""), ("0.5", ""))
    assert cells(candidate("baseline"), ["test/top5"])[3] == ("-", "")


def test_results_over_seeds() -> None:
    accuracies = {"a": [True, True, True, True], "b": [True, True, False, False]}
    group = [run(name, {"seed_everything": n}, right) for n, (name, right) in enumerate(accuracies.items())]
    assert seed_row(group) == ("recipe", "75.0 %", "50.0 to 100.0", "0, 1", "a, b")


def share(name: str, num_correct: int) -> list[Candidate]:
    return [candidate(name, [True] * num_correct + [False] * (100 - num_correct))]


def test_the_majority_class_is_hidden_only_where_it_does_not_fit() -> None:
    """It was said to be too far below where it was not."""
    assert is_majority_hidden([*share("a", 99), *share("b", 97), *share(MAJORITY, 10)])
    assert not is_majority_hidden([*share("a", 90), *share("b", 60), *share(MAJORITY, 46)])
    assert not is_majority_hidden([*share("a", 99), *share("b", 97)])
    assert not is_majority_hidden(share(MAJORITY, 46))
