"""Results of a test: numbers, tables, and intervals of the accuracy."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.engine.results import (
    SplitOutputs,
    accuracy_interval,
    collect_results,
    print_results,
)
from {{cookiecutter.package}}.engine.summary import write_results
from {{cookiecutter.package}}.models import MLPClassifier

METRICS = {"test/loss": 0.5, "test/acc": 0.7, "test/f1": 0.5, "test/balanced_acc": 0.583}


@pytest.fixture
def model(facts: ImageFacts) -> MLPClassifier:
    """After a test of 10 images: 4 cats (3 right, 1 taken for a dog), 4 dogs (right), 2 eels (taken for cats)."""
    model = MLPClassifier(facts)
    targets = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    preds = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 0, 0])
    for part in (slice(0, 3), slice(3, 10)):
        model.test_per_class.update(preds[part], targets[part])
    return model


def test_numbers_against_pencil_and_paper(model: MLPClassifier) -> None:
    results = collect_results(model, METRICS)
    assert results.num_images == 10
    assert results.confusion == [[3, 1, 0], [0, 4, 0], [2, 0, 0]]
    assert [(c.name, c.num_images) for c in results.classes] == [("cat", 4), ("dog", 4), ("eel", 2)]
    assert [c.precision for c in results.classes] == pytest.approx([3 / 5, 4 / 5, 0])
    assert [c.recall for c in results.classes] == pytest.approx([3 / 4, 1, 0])
    assert [c.f1 for c in results.classes] == pytest.approx([2 / 3, 8 / 9, 0])


def test_names_are_data(facts: ImageFacts, capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets are Rich's markup, and may stand in the name of a folder."""
    model = MLPClassifier(replace(facts, class_names=["[red]cat", "dog", "[/]"]))
    model.test_per_class.update(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))
    print_results(collect_results(model, METRICS), "runs/[bold]")
    out = capsys.readouterr().out
    assert [name for name in ("[red]cat", "[/]", "runs/[bold]") if name not in out] == []


def test_table_shows_the_worst_class_first(model: MLPClassifier, capsys: pytest.CaptureFixture[str]) -> None:
    print_results(collect_results(model, METRICS), "title")
    out = capsys.readouterr().out
    assert out.index("eel") < out.index("cat") < out.index("dog")
    assert "accuracy 70.00% on 10 test images" in out
    assert "0.583" in out


def test_a_metric_that_a_team_adds_is_printed_and_written(
    model: MLPClassifier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = collect_results(model, METRICS | {"test/top2_acc": 0.9, "test/[kappa]": 0.25})
    print_results(results, "title")
    out = capsys.readouterr().out
    assert "top2_acc 0.9" in out
    assert "[kappa] 0.25" in out
    outputs = SplitOutputs(["eel.png"], np.array([2]), np.zeros((1, 3), np.float32))
    write_results(tmp_path, results, {"recipe": "digits"}, {"test": outputs})
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["test/top2_acc"], summary["test/[kappa]"], summary["test/acc"]) == (0.9, 0.25, 0.7)
    assert (summary["recipe"], summary["num_test_images"]) == ("digits", 10)


def right(number: int, of: int) -> np.ndarray:
    return np.arange(of) < number


@pytest.mark.parametrize("num_images", [1, 2, 9, 210, 1000])
def test_every_mistake_lowers_both_ends(num_images: int) -> None:
    """One mistake once looked safer than none: 98.6 to 100 % of 209 of 210, beside 98.3 to 100 % of 210."""
    intervals = [accuracy_interval(right(number, of=num_images)) for number in range(num_images + 1)]
    assert all(fewer[0] < more[0] and fewer[1] < more[1] for fewer, more in pairwise(intervals))
    assert (intervals[0][0], intervals[-1][1]) == (0.0, 1.0)
    assert all(low <= k / num_images <= high for k, (low, high) in enumerate(intervals))


@pytest.mark.parametrize(("number", "of"), [(0, 10), (9, 9), (37, 153), (209, 210), (9876, 10_000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_agrees_with_scipy(number: int, of: int, confidence: float) -> None:
    expected = binomtest(number, of).proportion_ci(confidence, method="wilson")
    assert accuracy_interval(right(number, of), confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("num_images", "accuracy"), [(100, 0.8), (1000, 0.8), (200, 0.99)])
def test_covers_the_true_accuracy(num_images: int, accuracy: float) -> None:
    """95 of 100 intervals should; 300 experiments give or take 4 (three standard errors)."""
    rng = np.random.default_rng(0)
    experiments = [accuracy_interval(rng.random(num_images) < accuracy) for _ in range(300)]
    share = np.mean([low <= accuracy <= high for low, high in experiments])
    assert 0.91 <= share <= 0.99


def test_more_confidence_is_wider() -> None:
    narrow, wide = (accuracy_interval(right(80, of=100), confidence) for confidence in (0.9, 0.99))
    assert wide[0] < narrow[0] < 0.8 < narrow[1] < wide[1]


def test_no_image() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        accuracy_interval(right(0, of=0))
