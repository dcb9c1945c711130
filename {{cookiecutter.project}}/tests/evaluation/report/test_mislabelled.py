import numpy as np

from {{cookiecutter.package}}.evaluation.report.mislabelled import Suspect, find_suspects, why_not_judged

# Thresholds: (0.9 + 0.8 + 0.1) / 3 = 0.6 of class 0, (0.7 + 0.9 + 0.45) / 3 = 0.683 of class 1.
PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.1, 0.9], [0.55, 0.45]], dtype=np.float32)
LABELS = np.array([0, 0, 0, 1, 1, 1])


def test_against_pencil_and_paper() -> None:
    """The third image is suspect; the last is wrong, but 0.55 does not reach the threshold of class 0."""
    assert find_suspects(PROBABILITIES, LABELS) == [Suspect(2, 1)]


def test_the_label_that_the_model_agrees_with_is_not_suspect() -> None:
    """The first image reaches the threshold of class 1, 0.3, and is still taken for what it is labelled."""
    shares = np.array([[0.6, 0.4], [0.7, 0.3]], dtype=np.float32)
    assert find_suspects(shares, np.array([0, 1])) == [Suspect(1, 0)]


def test_the_most_blatant_first() -> None:
    shares = np.array([[0.95, 0.05], [0.9, 0.1], [0.2, 0.8], [0.05, 0.95], [0.1, 0.9], [0.85, 0.15]], dtype=np.float32)
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert [suspect.index for suspect in find_suspects(shares, labels)] == [3, 5, 2]


def test_a_flipped_label_is_found_among_many() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, size=400)
    logits = rng.normal(size=(400, 4)) + 6 * np.eye(4)[truth]
    shares = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    flipped = shares.max(axis=1).argsort()[-2:]
    labels = truth.copy()
    labels[flipped] = (labels[flipped] + 1) % 4
    suspects = find_suspects(shares, labels)
    assert {(found.index, found.suggested) for found in suspects[:2]} == set(zip(flipped, truth[flipped], strict=True))
    assert len(suspects) < 10


def test_a_class_without_images_suggests_nothing() -> None:
    shares = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], dtype=np.float32)
    assert find_suspects(shares, np.array([0, 0])) == []


def test_a_model_that_is_often_wrong_suspects_nothing() -> None:
    assert why_not_judged(0.9) is None
    assert "70.3 % of the validation and test images correctly. Below 90 %" in str(why_not_judged(0.703))
