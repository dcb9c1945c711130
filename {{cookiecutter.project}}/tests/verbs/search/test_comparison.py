import math

import pytest

from {{cookiecutter.package}}.models.monitor import Monitor
from {{cookiecutter.package}}.verbs.search.comparison import Comparison, Contender

WORSE, BETTER = [0.30, 0.31, 0.32], [0.20, 0.21, 0.22]


@pytest.mark.parametrize(
    ("metric", "best", "shipped", "verdict"),
    [
        ("val/loss", BETTER, WORSE, "better"),
        ("val/loss", WORSE, BETTER, "worse"),
        ("val/acc", WORSE, BETTER, "better"),
        ("val/acc", BETTER, WORSE, "worse"),
        ("val/loss", [0.20, 0.21, 0.30], WORSE, "no clear difference"),
        ("val/loss", [0.20, 0.21, math.nan], WORSE, "no clear difference"),
        ("val/loss", WORSE, [0.4, math.nan, math.nan], "better"),
    ],
)
def test_decides_where_the_trainings_do_not_overlap(
    metric: Monitor, best: list[float], shipped: list[float], verdict: str
) -> None:
    comparison = Comparison(metric, [1, 2, 3], Contender(best, [0.9] * 3), Contender(shipped, [0.8] * 3))
    assert comparison.verdict == verdict


def test_statement_has_mean_and_spread_of_both() -> None:
    comparison = Comparison("val/loss", [1, 2, 3], Contender(BETTER, [0.9, 0.91, 0.95]), Contender(WORSE, [0.8] * 3))
    assert "With seeds 1, 2, 3" in comparison.statement
    assert "val/loss: 0.2100 (0.2000 to 0.2200) against 0.3100 (0.3000 to 0.3200)" in comparison.statement
    assert comparison.statement.endswith("chosen: 92.0% (90.0% to 95.0%) against 80.0% (80.0% to 80.0%).")
