import numpy as np
import pytest

from {{cookiecutter.package}}.evaluation.intervals import accuracy_interval


def test_bounds_are_those_of_resampling_images() -> None:
    is_correct = np.arange(153) < 130
    rng = np.random.default_rng(1)
    resampled = is_correct[rng.integers(0, 153, size=(10_000, 153))].mean(axis=1)
    assert accuracy_interval(is_correct) == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=1.01 / 153)
    assert accuracy_interval(is_correct) == accuracy_interval(is_correct)


def test_all_right() -> None:
    assert accuracy_interval(np.ones(20, dtype=np.bool_)) == (1, 1)
