import numpy as np
import pytest
import torch
from torch.nn import functional as F

from {{cookiecutter.package}}.engine.calibration import answers_at, calibrate, fit_temperature
from {{cookiecutter.package}}.engine.results import SplitOutputs


def outputs(probabilities: list[float], is_correct: list[bool]) -> SplitOutputs:
    """Of two classes: the first is predicted with each probability, and is right or not."""
    shares = np.array([[share, 1 - share] for share in probabilities])
    labels = np.where(is_correct, 0, 1)
    return SplitOutputs([str(i) for i in range(len(labels))], labels, np.log(shares).astype(np.float32))


def sampled(num: int, temperature: float) -> SplitOutputs:
    """Labels drawn from the softmax of logits, which are then multiplied by ``temperature``."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(num, 5, generator=generator)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)
    return SplitOutputs([""] * num, labels.numpy(), (temperature * logits).numpy())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    wrong = sampled(20_000, temperature)
    fitted = fit_temperature(wrong)
    assert fitted is not None
    assert fitted == pytest.approx(temperature, rel=0.05)
    logits, labels = torch.from_numpy(wrong.logits), torch.from_numpy(wrong.labels)
    assert F.cross_entropy(logits / fitted, labels) <= F.cross_entropy(logits, labels)


def test_nothing_to_fit_on_where_all_are_right() -> None:
    assert fit_temperature(outputs([0.9, 0.8], [True, True])) is None


def test_a_temperature_stays_within_reason() -> None:
    """All wrong: the likeliest temperature is infinite."""
    assert fit_temperature(outputs([0.9, 0.8], [False, False])) == pytest.approx(20.0, rel=1e-4)


def test_logits_that_are_not_finite_have_no_temperature() -> None:
    broken = outputs([0.9, 0.8], [True, False])
    broken.logits[0, 0] = np.nan
    assert fit_temperature(broken) is None


def test_both_splits_get_the_temperature_of_validation() -> None:
    val, test = sampled(5_000, 2.0), outputs([0.9, 0.8], [True, False])
    calibrated = calibrate(val, test)
    assert calibrated["test"].temperature == calibrated["val"].temperature == pytest.approx(2.0, rel=0.1)
    shares = calibrated["test"].probabilities
    expected = torch.from_numpy(test.logits / calibrated["val"].temperature).softmax(dim=1)
    assert shares == pytest.approx(expected.numpy())
    assert shares[0, 0] < 0.9  # the model was too confident
    assert calibrate(test.__class__(["a"], np.array([0]), test.logits[:1]), test)["test"].temperature == 1.0


@pytest.mark.parametrize(("coverage", "threshold"), [(0.9, 0.55), (0.85, 0.55), (0.1, 0.95)])
def test_threshold_lets_at_least_the_asked_share_through(coverage: float, threshold: float) -> None:
    val = outputs([0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95], [True] * 10)
    assert answers_at(val, val, coverage).threshold == pytest.approx(threshold)


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
