import numpy as np
import pytest
import torch

from {{cookiecutter.package}}.engine.results import SplitOutputs
from {{cookiecutter.package}}.tools.report.calibration import (
    Calibration,
    answers_at,
    coverage_curve,
    find_suspects,
    fit_temperature,
    measure_calibration,
    reliability,
    verdict,
    why_not_judged,
)


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


def test_ece_against_pencil_and_paper() -> None:
    """Four images at 0.9 of which two are right, six at 0.7 of which all are: 0.4 x 0.4 + 0.6 x 0.3."""
    measured = measure_calibration(outputs([0.9] * 4 + [0.7] * 6, [True, True, False, False] + [True] * 6))
    assert measured.ece == pytest.approx(0.4 * 0.4 + 0.6 * 0.3, abs=1e-6)
    nll = -(2 * np.log(0.9) + 2 * np.log(0.1) + 6 * np.log(0.7)) / 10
    assert measured.nll == pytest.approx(nll, abs=1e-6)
    assert measured.bins == pytest.approx(np.array([[6, 0.7, 1.0], [4, 0.9, 0.5]]))


def test_bins_agree_with_the_ece() -> None:
    measured = measure_calibration(sampled(500, temperature=2))
    gaps = [num_images * abs(accuracy - confidence) for num_images, confidence, accuracy in measured.bins]
    assert sum(gaps) / 500 == pytest.approx(measured.ece, abs=1e-5)


def test_certainty_is_in_the_last_bin() -> None:
    assert len(reliability(np.array([1.0, 0.99], dtype=np.float32), np.array([True, False]))) == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    wrong = sampled(20_000, temperature)
    fitted = fit_temperature(wrong)
    assert fitted == pytest.approx(temperature, rel=0.05)
    assert fitted is not None
    before, after = measure_calibration(wrong), measure_calibration(wrong, fitted)
    assert after.nll <= before.nll
    assert after.ece < 0.02


def test_nothing_to_fit_on_where_all_are_right() -> None:
    assert fit_temperature(outputs([0.9, 0.8], [True, True])) is None


def test_a_temperature_stays_within_reason() -> None:
    """All wrong: the likeliest temperature is infinite."""
    assert fit_temperature(outputs([0.9, 0.8], [False, False])) == pytest.approx(20.0, rel=1e-4)


@pytest.mark.parametrize(
    ("temperature", "after", "words"),
    [
        (0.7, 0.01, "The model is underconfident."),
        (1.6, 0.01, "The model is overconfident."),
        (0.7, 0.03, "not on the test images: with the temperature, their calibration error rises from 2.00% to 3.00%"),
        (1.02, 0.03, "neither overconfident nor underconfident"),
    ],
)
def test_the_verdict_is_flat_only_where_the_test_images_confirm_it(
    temperature: float, after: float, words: str
) -> None:
    text = verdict(temperature, Calibration(0.02, 0.1, np.empty((0, 3))), Calibration(after, 0.1, np.empty((0, 3))))
    assert words in text
    assert ("The model is under" in text or "The model is over" in text) is (after == 0.01)


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


def test_curve_against_pencil_and_paper() -> None:
    coverage, accuracy = coverage_curve(
        np.array([0.5, 0.9, 0.7, 0.6], dtype=np.float32), np.array([False, True, False, True])
    )
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert accuracy.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])


# Thresholds: (0.9 + 0.8 + 0.1) / 3 = 0.6 of class 0, (0.7 + 0.9 + 0.45) / 3 = 0.683 of class 1.
PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.1, 0.9], [0.55, 0.45]], dtype=np.float32)
LABELS = np.array([0, 0, 0, 1, 1, 1])


def test_suspects_against_pencil_and_paper() -> None:
    """The third image is suspect; the last is wrong, but 0.55 does not reach the threshold of class 0."""
    assert find_suspects(PROBABILITIES, LABELS) == [(2, 1)]


def test_the_label_that_the_model_agrees_with_is_not_suspect() -> None:
    """The first image reaches the threshold of class 1, 0.3, and is still taken for what it is labelled."""
    shares = np.array([[0.6, 0.4], [0.7, 0.3]], dtype=np.float32)
    assert find_suspects(shares, np.array([0, 1])) == [(1, 0)]


def test_the_most_blatant_first() -> None:
    shares = np.array([[0.95, 0.05], [0.9, 0.1], [0.2, 0.8], [0.05, 0.95], [0.1, 0.9], [0.85, 0.15]], dtype=np.float32)
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert [index for index, _ in find_suspects(shares, labels)] == [3, 5, 2]


def test_a_flipped_label_is_found_among_many() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, size=400)
    logits = rng.normal(size=(400, 4)) + 6 * np.eye(4)[truth]
    shares = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    flipped = shares.max(axis=1).argsort()[-2:]
    labels = truth.copy()
    labels[flipped] = (labels[flipped] + 1) % 4
    suspects = find_suspects(shares, labels)
    assert set(suspects[:2]) == set(zip(flipped, truth[flipped], strict=True))
    assert len(suspects) < 10


def test_a_class_without_images_suggests_nothing() -> None:
    shares = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], dtype=np.float32)
    assert find_suspects(shares, np.array([0, 0])) == []


def test_a_model_that_is_often_wrong_suspects_nothing() -> None:
    assert why_not_judged(0.9) is None
    assert "70.3 % of the validation and test images correctly. Below 90 %" in str(why_not_judged(0.703))
