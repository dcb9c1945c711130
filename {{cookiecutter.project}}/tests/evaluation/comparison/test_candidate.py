from math import nan

import pytest

from {{cookiecutter.package}}.evaluation.comparison.candidate import best_epoch, best_first

from .candidates import candidate


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("val/loss", [0.3, 0.1, 0.1, 0.2], 2),
        ("val/acc", [0.3, 0.1, 0.9, 0.2], 3),
        ("val/f1", [nan, 0.1], 2),
        ("val/loss", [nan], None),
    ],
)
def test_best_epoch_counts_from_one(monitor: str, values: list[float], best: int | None) -> None:
    epochs = [{"epoch": float(number), monitor: value} for number, value in enumerate(values)]
    assert best_epoch(epochs, monitor) == best


def test_of_equals_the_faster_first() -> None:
    slow, fast, worse = candidate("slow", seconds=9), candidate("fast"), candidate("worse", [False, False], seconds=0.1)
    assert best_first([worse, slow, fast]) == [fast, slow, worse]
