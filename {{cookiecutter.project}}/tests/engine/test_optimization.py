from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from {{cookiecutter.package}}.engine.optimization import (
    OptimizerSettings,
    ParameterGroup,
    ScheduleSettings,
    build_optimizer,
    build_schedule,
)
from {{cookiecutter.package}}.errors import UserError

NUM_STEPS, NUM_EPOCHS = 100, 10


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("name", "algorithm"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_groups_keep_their_names_and_learning_rates(name: str, algorithm: type, fused: bool) -> None:
    settings = OptimizerSettings(name=name, lr=0.1, weight_decay=0.02)  # type: ignore[arg-type]
    groups = [ParameterGroup(part, [nn.Parameter(torch.zeros(1))], factor) for part, factor in (("a", 0.5), ("b", 1.0))]
    optimizer = build_optimizer(settings, groups, fused=fused)
    assert type(optimizer) is algorithm
    assert bool(optimizer.defaults["fused"]) is fused
    assert [(group["name"], group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [
        ("a", 0.05, 0.02),
        ("b", 0.1, 0.02),
    ]


@pytest.mark.parametrize(("argument", "value"), [("lr", 0.0), ("gradient_clip_norm", -1.0), ("lr_for_batch_size", 0)])
def test_wrong_numbers_of_the_optimizer_are_echoed(argument: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"model\.optimizer\.{argument} is {value}"):
        OptimizerSettings(**{argument: value})  # type: ignore[arg-type]


def test_learning_rate_follows_the_images_a_step() -> None:
    assert OptimizerSettings(lr=0.1, lr_for_batch_size=256).for_batch(1024).lr == pytest.approx(0.4)
    assert OptimizerSettings(lr=0.1, lr_for_batch_size=256).for_batch(64).lr == pytest.approx(0.025)
    assert OptimizerSettings(lr=0.1).for_batch(1024).lr == 0.1


def learning_rates(settings: ScheduleSettings) -> list[list[float]]:
    """Learning rates of two groups, of peaks 0.1 and 1, at each step; of an epoch for a schedule by epochs."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 1.0)]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    schedule = build_schedule(settings, optimizer, NUM_STEPS, NUM_EPOCHS, "val/loss")
    rates = []
    for _ in range(NUM_STEPS if schedule["interval"] == "step" else NUM_EPOCHS):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        if isinstance(schedule["scheduler"], ReduceLROnPlateau):
            schedule["scheduler"].step(1.0)  # a metric that never gets better
        else:
            schedule["scheduler"].step()
    return rates


@pytest.mark.parametrize("name", ["onecycle", "cosine", "plateau", "step", "constant"])
def test_groups_keep_their_ratio(name: str) -> None:
    for low, high in learning_rates(ScheduleSettings(name=name, step_epochs=3)):  # type: ignore[arg-type]
        assert low == pytest.approx(high / 10)


def test_onecycle_peaks_after_its_warm_up_and_ends_at_nothing() -> None:
    rates = [high for _, high in learning_rates(ScheduleSettings(name="onecycle", warmup_fraction=0.2))]
    assert rates.index(max(rates)) == pytest.approx(20, abs=1)
    assert max(rates) == pytest.approx(1.0, rel=1e-3)
    assert rates[-1] < 1e-4


def test_cosine_warms_up_and_ends_at_nothing() -> None:
    rates = [high for _, high in learning_rates(ScheduleSettings(name="cosine", warmup_epochs=2))]
    assert rates[0] == pytest.approx(0.01)
    assert rates[20] == pytest.approx(1.0)
    assert rates[-1] < 0.01
    assert max(abs(after - before) for before, after in pairwise(rates)) < 0.06  # no jump


def test_step_drops_after_its_epochs() -> None:
    rates = [high for _, high in learning_rates(ScheduleSettings(name="step", step_epochs=4, factor=0.5))]
    assert rates == pytest.approx([1.0] * 4 + [0.5] * 4 + [0.25] * 2)


def test_plateau_drops_when_its_patience_is_over() -> None:
    rates = [high for _, high in learning_rates(ScheduleSettings(name="plateau", patience=3))]
    assert rates == pytest.approx([1.0] * 5 + [0.1] * 4 + [0.01])


def test_constant_changes_nothing() -> None:
    assert learning_rates(ScheduleSettings(name="constant")) == [[0.1, 1.0]] * NUM_EPOCHS


def test_warm_up_longer_than_the_training() -> None:
    with pytest.raises(UserError, match=r"warmup_epochs is 10\.0; it must be less than the 10 epochs"):
        learning_rates(ScheduleSettings(name="cosine", warmup_epochs=10.0))


@pytest.mark.parametrize(("argument", "value"), [("factor", 1.5), ("warmup_fraction", -0.1)])
def test_wrong_numbers_of_the_schedule_are_echoed(argument: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"model\.schedule\.{argument} is {value}"):
        ScheduleSettings(**{argument: value})  # type: ignore[arg-type]
