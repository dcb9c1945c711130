from dataclasses import replace

import pytest
import torch

from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.evaluation.results import collect_results, print_results
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
