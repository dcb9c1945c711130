import numpy as np
import pytest

from {{cookiecutter.package}}.evaluation.outputs import SplitOutputs
from {{cookiecutter.package}}.evaluation.report.abstention import answers_at, choose_threshold, coverage_curve


def outputs(confidences: list[float], is_correct: list[bool]) -> SplitOutputs:
    shares = np.array([[share, 1 - share] for share in confidences])
    return SplitOutputs([""] * len(shares), np.where(is_correct, 0, 1), np.log(shares).astype(np.float32))


def test_threshold_lets_the_asked_share_through() -> None:
    confidence = np.linspace(0.1, 1.0, 10, dtype=np.float32)
    assert choose_threshold(confidence, 0.9) == pytest.approx(0.2)
    assert choose_threshold(confidence, 0.85) == pytest.approx(0.2)  # at least the share
    assert choose_threshold(confidence, 0.1) == pytest.approx(1.0)


def test_threshold_of_validation_is_measured_on_test() -> None:
    val = outputs([0.6, 0.7, 0.8, 0.9, 0.95], [True] * 5)
    test = outputs([0.55, 0.75, 0.85, 0.99], [False, False, True, True])
    row = answers_at(val, test, 0.6)
    assert row.threshold == pytest.approx(0.8)
    assert (row.coverage, row.num_images, row.accuracy) == (0.5, 2, 1.0)
    everything = answers_at(val, test, 1.0)
    assert (everything.threshold, everything.coverage, everything.accuracy) == (0.0, 1.0, 0.5)


def test_no_answer_at_all() -> None:
    row = answers_at(outputs([0.9], [True]), outputs([0.6, 0.7], [True, True]), 0.8)
    assert (row.num_images, row.coverage, row.accuracy) == (0, 0.0, None)


def test_curve_against_pencil_and_paper() -> None:
    coverage, accuracy = coverage_curve(
        np.array([0.5, 0.9, 0.7, 0.6], dtype=np.float32), np.array([False, True, False, True])
    )
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert accuracy.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
