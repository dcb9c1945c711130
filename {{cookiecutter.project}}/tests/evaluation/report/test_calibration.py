import numpy as np
import pytest
import torch

from {{cookiecutter.package}}.evaluation.outputs import SplitOutputs
from {{cookiecutter.package}}.evaluation.report.calibration import (
    Calibration,
    fit_temperature,
    measure_calibration,
    reliability,
    verdict,
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
    assert [(found.num_images, found.accuracy) for found in measured.bins] == [(6, 1.0), (4, 0.5)]
    assert [found.confidence for found in measured.bins] == pytest.approx([0.7, 0.9])


def test_bins_agree_with_the_ece() -> None:
    measured = measure_calibration(sampled(500, temperature=2))
    gaps = [found.num_images * abs(found.accuracy - found.confidence) for found in measured.bins]
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
    assert fit_temperature(outputs([0.9, 0.8], [False, False])) == 20.0


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
    text = verdict(temperature, Calibration(0.02, 0.1, []), Calibration(after, 0.1, []))
    assert words in text
    assert ("The model is under" in text or "The model is over" in text) is (after == 0.01)
