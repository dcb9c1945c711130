import math

import pytest

from {{cookiecutter.package}}.tools.tune.comparison import Comparison, Contender

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
    metric: str, best: list[float], shipped: list[float], verdict: str
) -> None:
    comparison = Comparison(metric, [1, 2, 3], Contender(best, [0.9] * 3), Contender(shipped, [0.8] * 3))
    assert comparison.verdict[0] == verdict


def test_better_takes_the_test_images_too() -> None:
    """The best recipe was chosen on the validation images, on which it therefore wins more often than it should."""
    accuracies = [0.983, 0.984, 0.985]
    for shipped in ([0.986, 0.986, 0.986], [0.98, 0.98, 0.983]):
        comparison = Comparison("val/loss", [1, 2, 3], Contender(BETTER, accuracies), Contender(WORSE, shipped))
        assert comparison.verdict[0] == "no clear difference"
        assert "on which it was selected, but not on the test images" in comparison.statement
        assert "better" not in comparison.statement.lower()


def test_a_training_that_diverged_has_no_test_accuracy_to_beat() -> None:
    shipped = Contender([math.nan, 0.5, math.nan], [math.nan, 0.8, math.nan])
    assert Comparison("val/loss", [1, 2, 3], Contender(BETTER, [0.9] * 3), shipped).verdict[0] == "better"


def test_statement_has_mean_and_spread_of_both() -> None:
    comparison = Comparison("val/loss", [1, 2, 3], Contender(BETTER, [0.9, 0.91, 0.95]), Contender(WORSE, [0.8] * 3))
    assert comparison.statement == (
        "Better: trained again with seeds 1, 2, 3, all three of its runs beat all three runs of the shipped "
        "recipe, on the validation images and on the test images. val/loss: 0.2100 (0.2000 to 0.2200) against 0.3100 "
        "(0.3000 to 0.3200). Test accuracy: 92.0 % (90.0 to 95.0) against 80.0 % (80.0 to 80.0)."
    )
