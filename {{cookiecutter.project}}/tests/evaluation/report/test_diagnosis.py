"""Each rule with the curve that it is for, and with one that it is not for."""

from dataclasses import replace

import pytest

from {{cookiecutter.package}}.evaluation.record import EpochMetrics
from {{cookiecutter.package}}.evaluation.report.diagnosis import TrainingFacts, diagnose, kept_epoch


def curves(
    val_loss: list[float], val_acc: list[float], train_loss: list[float], train_acc: list[float]
) -> list[EpochMetrics]:
    columns = zip(val_loss, val_acc, train_loss, train_acc, strict=True)
    names = ("val/loss", "val/acc", "train/loss", "train/acc")
    return [{"epoch": float(number), **dict(zip(names, row, strict=True))} for number, row in enumerate(columns)]


FINE = curves([0.5, 0.3, 0.25, 0.245], [0.85, 0.93, 0.95, 0.951], [0.6, 0.3, 0.2, 0.18], [0.8, 0.92, 0.95, 0.96])
LOW = curves([0.9, 0.8, 0.75, 0.74], [0.6, 0.65, 0.7, 0.7], [1.0, 0.8, 0.75, 0.74], [0.55, 0.66, 0.7, 0.71])
WIDE = curves([0.5, 0.4, 0.39, 0.388], [0.8, 0.85, 0.86, 0.86], [0.5, 0.2, 0.1, 0.05], [0.8, 0.92, 0.97, 0.99])
RISING = curves([0.3, 0.2, 0.22, 0.25], [0.9, 0.94, 0.94, 0.94], [0.3, 0.2, 0.1, 0.05], [0.9, 0.94, 0.96, 0.98])
FALLING = curves([0.5, 0.4, 0.3, 0.2], [0.9, 0.91, 0.92, 0.93], [0.5, 0.4, 0.3, 0.2], [0.9, 0.91, 0.92, 0.93])
JUMPY = curves(
    [0.9, 0.7, 0.5, 0.3, 0.3, 0.25, 0.4, 0.25, 0.4, 0.26],
    [0.6, 0.7, 0.8, 0.9, 0.9, 0.95, 0.8, 0.95, 0.8, 0.952],
    [0.9, 0.7, 0.5, 0.3, 0.3, 0.3, 0.3, 0.25, 0.25, 0.2],
    [0.6, 0.7, 0.8, 0.9, 0.9, 0.92, 0.92, 0.94, 0.94, 0.95],
)
NAN = curves([0.5, float("nan"), float("nan")], [0.9, 0.1, 0.1], [0.5, float("nan"), float("nan")], [0.9, 0.1, 0.1])

FACTS = TrainingFacts("val/loss", max_epochs=4, num_val_images=1000)


@pytest.mark.parametrize(
    ("epochs", "name"),
    [
        (FINE, "fine"),
        (LOW, "underfitted"),
        (WIDE, "overfitted"),
        (RISING, "overfitted"),
        (FALLING, "still improving"),
        (JUMPY, "unstable"),
        (NAN, "diverged"),
        ([], "too few epochs to say"),
    ],
)
def test_each_rule_on_its_curve(epochs: list[EpochMetrics], name: str) -> None:
    assert diagnose(epochs, replace(FACTS, max_epochs=len(epochs))).name == name


def test_several_rules_may_hold() -> None:
    epochs = curves([0.9, 0.7], [0.6, 0.7], [0.9, 0.7], [0.6, 0.7])
    assert diagnose(epochs, replace(FACTS, max_epochs=5)).name == "underfitted, still improving, stopped early"


def test_a_gap_that_few_images_explain_is_none() -> None:
    """On 40 images two standard errors of 86 % are 11 points; the gap of WIDE is 13 points, of this one 9."""
    epochs = [epoch | {"train/acc": epoch["val/acc"] + 0.09} for epoch in WIDE]
    few, many = (replace(FACTS, num_val_images=number) for number in (40, 1000))
    assert "overfitted" not in diagnose(epochs, few).name
    assert diagnose(epochs, many).name == "overfitted"
    assert diagnose(WIDE, few).name == "overfitted"


def test_drops_that_few_images_explain_are_none() -> None:
    facts = replace(FACTS, max_epochs=10, num_val_images=10)
    assert "unstable" not in diagnose(JUMPY, facts).name


def test_one_drop_may_be_the_unfreezing_of_a_backbone() -> None:
    steady = [epoch | {"val/acc": max(epoch["val/acc"], 0.94)} if epoch["epoch"] > 6 else epoch for epoch in JUMPY]
    assert diagnose(steady, replace(FACTS, max_epochs=10)).name == "fine"


def test_mixed_images_say_nothing_of_training_accuracy() -> None:
    mixed = diagnose(LOW, replace(FACTS, is_mixed=True))
    assert mixed.name == "fine"
    assert [check.holds for check in mixed.checks if check.name == "underfitted"] == [None]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (TrainingFacts("val/loss", max_epochs=9, patience=2), "val/loss did not improve for 2 epochs"),
        (TrainingFacts("val/loss", max_epochs=9, patience=3), "Not by early stopping"),
        (TrainingFacts("val/loss", max_epochs=9), "Not by early stopping"),
        (TrainingFacts("val/loss", max_epochs=9, is_finished=False), "did not come to its test"),
    ],
)
def test_why_it_stopped_early(facts: TrainingFacts, reason: str) -> None:
    found = [check for check in diagnose(RISING, facts).findings if check.name == "stopped early"]
    assert [check.measured for check in found] == ["4 of 9 epochs"]
    assert reason in found[0].meaning


def test_without_a_limit_nothing_is_early() -> None:
    check = diagnose(FINE, replace(FACTS, max_epochs=-1)).checks[-1]
    assert (check.measured, check.holds) == ("4 epochs, without a limit", None)


def test_one_epoch_draws_no_curve() -> None:
    diagnosis = diagnose(FINE[:1], replace(FACTS, max_epochs=1))
    assert {check.name for check in diagnosis.checks if check.holds is None} >= {
        "unstable",
        "overfitted",
        "still improving",
    }


def test_kept_is_the_first_of_the_best() -> None:
    epochs = curves([0.5, 0.2, 0.2, 0.3], [0.8, 0.9, 0.95, 0.95], [1.0] * 4, [1.0] * 4)
    kept = [kept_epoch(epochs, monitor) for monitor in ("val/loss", "val/acc")]
    assert [epoch and epoch["epoch"] for epoch in kept] == [1, 2]
    assert kept_epoch(NAN, "val/loss") == NAN[0]
    assert kept_epoch([], "val/loss") is None


def test_epochs_without_validation_are_passed_over() -> None:
    """With trainer.check_val_every_n_epoch 2."""
    epochs = [
        epoch
        for row in FINE
        for epoch in ({"epoch": 2 * row["epoch"], "train/loss": 1.0}, row | {"epoch": 2 * row["epoch"] + 1})
    ]
    assert diagnose(epochs, replace(FACTS, max_epochs=8)).name == "fine"
