import pytest
import torch
from torch import nn

from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models.optimizers import OptimizerSettings, ParameterGroup, build_optimizer


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
def test_wrong_numbers_are_echoed(argument: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"model\.optimizer\.{argument} is {value}"):
        OptimizerSettings(**{argument: value})  # type: ignore[arg-type]


def test_learning_rate_follows_the_images_a_step() -> None:
    assert OptimizerSettings(lr=0.1, lr_for_batch_size=256).for_batch(1024).lr == pytest.approx(0.4)
    assert OptimizerSettings(lr=0.1, lr_for_batch_size=256).for_batch(64).lr == pytest.approx(0.025)
    assert OptimizerSettings(lr=0.1).for_batch(1024).lr == 0.1
