import re
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.tools.tune.study import shipped_params
from {{cookiecutter.package}}.tools.tune.sweep import Sweep, parse_parameter, plain, text_of

LR = "model.optimizer.lr"

KNOWN: list[tuple[dict[str, Any], BaseDistribution]] = [
    ({"values": [1, [2, 3], "max", True]}, CategoricalDistribution(["1", "[2, 3]", "max", "true"])),
    ({"distribution": "categorical", "values": ["a"]}, CategoricalDistribution(["a"])),
    ({"min": 1, "max": 8}, IntDistribution(1, 8)),
    ({"distribution": "int_uniform", "min": 1, "max": 8}, IntDistribution(1, 8)),
    ({"min": 0.0, "max": 1}, FloatDistribution(0.0, 1.0)),
    ({"distribution": "uniform", "min": 0, "max": 1}, FloatDistribution(0.0, 1.0)),
    ({"distribution": "log_uniform_values", "min": 0.001, "max": 1}, FloatDistribution(0.001, 1.0, log=True)),
    ({"distribution": "q_uniform", "min": 0.0, "max": 0.5, "q": 0.1}, FloatDistribution(0.0, 0.5, step=0.1)),
    ({"distribution": "q_uniform", "min": 16, "max": 64, "q": 16}, IntDistribution(16, 64, step=16)),
]

WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"distribution": "normal", "mu": 0, "sigma": 1}, ["'mu'"]),
    ({"distribution": "log_uniform", "min": -3, "max": 0}, ["'log_uniform'", "log_uniform_values", "q_uniform"]),
    ({"parameters": {"lr": {"value": 1}}}, ["nested", f"{LR}.<option>"]),
    ({"min": "1e-4", "max": 1}, ["min '1e-4'", "write 0.0001"]),
    ({"min": 0.1}, ["max None", "a number"]),
    ({"min": True, "max": 2}, ["min True"]),
    ({"min": 3, "max": 2}, ["min 3, max 2", "below"]),
    ({"distribution": "q_uniform", "min": 0, "max": 2, "q": -1}, ["q -1"]),
    ({"distribution": "log_uniform_values", "min": 0, "max": 1}, ["min 0", "above 0"]),
    ({"values": []}, ["values []"]),
    ({"values": 3}, ["values 3", "a list"]),
    ({"values": [None, 1]}, ["null", "None"]),
    ({"values": [{"name": "sgd"}]}, ["'sgd'", "each option"]),
    ({"distribution": "constant", "values": [1]}, ["constant", "value: ..."]),
]


@pytest.mark.parametrize(("settings", "expected"), KNOWN, ids=str)
def test_distributions(settings: dict[str, Any], expected: BaseDistribution) -> None:
    assert parse_parameter(LR, settings) == expected


@pytest.mark.parametrize(("settings", "expected"), WRONG, ids=str)
def test_refusals_name_the_parameter(settings: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(UserError) as refusal:
        parse_parameter(LR, settings)
    assert [part for part in [f"parameter {LR!r}", *expected] if part not in str(refusal.value)] == []


def test_constants_are_texts_of_options() -> None:
    assert [parse_parameter(LR, {"value": value}) for value in ("onecycle", 0.1, [8, 16], False)] == [
        "onecycle",
        "0.1",
        "[8, 16]",
        "false",
    ]


def test_numbers_have_four_digits() -> None:
    assert text_of(0.0123456789) == "0.01235"
    assert text_of(3 * 0.1) == "0.3"
    assert text_of(0.00001) == "1e-05"
    assert text_of(12345) == "12345"


def test_names_are_those_of_the_command_line() -> None:
    assert [plain(name) for name in (LR, "model.init_args.optimizer.lr", "model.class_path")] == [LR, LR, "model"]


@pytest.mark.parametrize(
    ("drawn", "value", "expected"),
    [
        (CategoricalDistribution(["[2, 3]", "none"]), [2, 3], "[2, 3]"),
        (CategoricalDistribution(["[2, 3]", "none"]), "none", "none"),
        (CategoricalDistribution(["0", "1"]), 0.0, "0"),
        (CategoricalDistribution(["null", "0.9"]), None, "null"),
        (CategoricalDistribution(["a"]), "b", None),
        (IntDistribution(1, 8), 3, 3),
        (IntDistribution(16, 64, step=16), 40, None),
        (FloatDistribution(0.0, 0.5, step=0.1), 0.3, 0.3),
        (FloatDistribution(0.0, 0.5, step=0.1), 0.25, None),
        (FloatDistribution(0.0, 0.5), 0.6, None),
        (FloatDistribution(0.0, 0.5), 0, 0.0),
        (FloatDistribution(0.0, 0.5), None, None),
    ],
    ids=str,
)
def test_position_of_a_recipes_value(drawn: BaseDistribution, value: object, expected: object) -> None:
    sweep = Sweep(Path("sweep.yaml"), [], "val/loss", {"compile": drawn}, {}, None)
    if expected is not None:
        assert shipped_params(sweep, {"compile": value}) == {"compile": expected}
        return
    with pytest.raises(UserError, match=re.escape(f"compile is {value} in the recipe, which is outside of {drawn}")):
        shipped_params(sweep, {"compile": value})
