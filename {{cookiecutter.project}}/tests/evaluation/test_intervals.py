import numpy as np
import pytest

from {{cookiecutter.package}}.evaluation.intervals import accuracy_interval


def right(number: int, of: int) -> np.ndarray:
    return np.arange(of) < number


def test_agrees_with_the_normal_approximation_where_that_is_good() -> None:
    low, high = accuracy_interval(right(900, of=1000))
    half = 1.96 * (0.9 * 0.1 / 1000) ** 0.5
    assert (low, high) == pytest.approx((0.9 - half, 0.9 + half), abs=0.002)


def test_agrees_with_drawing_images() -> None:
    """What the binomial draw stands for."""
    is_correct, rng = right(29, of=37), np.random.default_rng(1)
    drawn = is_correct[rng.integers(0, 37, size=(10_000, 37))].mean(axis=1)
    assert accuracy_interval(is_correct) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1 / 37 + 1e-9)


@pytest.mark.parametrize("num_images", [100, 1000])
def test_covers_the_true_accuracy(num_images: int) -> None:
    """95 of 100 intervals should; 300 experiments give or take 4 (three standard errors)."""
    rng = np.random.default_rng(0)
    experiments = [accuracy_interval(rng.random(num_images) < 0.8, num_resamples=1000) for _ in range(300)]
    share = np.mean([low <= 0.8 <= high for low, high in experiments])
    assert 0.91 <= share <= 0.99


def test_more_confidence_is_wider_and_a_seed_repeats() -> None:
    is_correct = right(80, of=100)
    narrow, wide = (accuracy_interval(is_correct, confidence) for confidence in (0.9, 0.99))
    assert wide[0] < narrow[0] < 0.8 < narrow[1] < wide[1]
    assert accuracy_interval(is_correct, seed=1) == accuracy_interval(is_correct, seed=1)


def test_a_faultless_result_is_not_certain() -> None:
    """Clopper and Pearson: with 10 of 10 right, 0.025 ** (1 / 10) is the lower end."""
    assert accuracy_interval(right(10, of=10)) == pytest.approx((0.6915, 1.0), abs=1e-4)
    assert accuracy_interval(right(0, of=10)) == pytest.approx((0.0, 0.3085), abs=1e-4)


def test_no_image() -> None:
    with pytest.raises(ValueError, match="no image"):
        accuracy_interval(right(0, of=0))
