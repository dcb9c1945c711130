"""The checks of the lessons: the right answer is accepted, and the usual mistakes are not."""

import math
from collections.abc import Callable
from typing import Any

import checks
import numpy as np
import pytest
import torch

from . import answers_6_to_10

Check = Callable[[Any], bool | None]
LR = (1 - 0.116**0.05) / 2  # of lesson 2
ADDS_AND_SUBTRACTS: tuple[Any, ...] = ([[1, 1], [1, 1]], [0, -1], [1, -2])
TAKES_DIFFERENCES: tuple[Any, ...] = ([[1, -1], [-1, 1]], [0, 0], [1, 1])

RIGHT: list[tuple[Check, list[Any]]] = [
    (checks.check_one_neuron, [650, 650.0, np.int64(650), torch.tensor(650)]),
    (checks.check_downhill, [LR, round(LR, 4), 1 - LR, np.float32(LR)]),
    (checks.check_xor, [ADDS_AND_SUBTRACTS, list(TAKES_DIFFERENCES), tuple(map(np.array, ADDS_AND_SUBTRACTS))]),
    (checks.check_learning_rate, [0.01, -0.01, 0.01 * 1000 / (1000 + 1e-8)]),
    (checks.check_unscaled_inputs, [0.2 / 65025, 3.1e-6, 2 / 681014]),
]
# Each wrong answer, and a part of the hint.
WRONG: list[tuple[Check, list[tuple[Any, str]]]] = [
    (
        checks.check_one_neuron,
        [
            (2410, "two layers have together"),
            (640, "What else has a layer"),
            (682, "one vector"),
            (2080, "depend on the 32 neurons"),
            (4810, "depend on the 32 neurons"),
            (10, "How many inputs"),
            (649.5, "How many inputs"),
            ("650", "leave out the quotation marks"),
            ("weights", "Set answer to a whole number"),
        ],
    ),
    (
        checks.check_downhill,
        [
            (0.1, "end at 9.885"),
            (0.05, "end at 8.784"),
            (2 * LR, "do not forget the 2"),
            (0.0442, "end at 8.4"),
            (0.5, "end at 10.000"),
            (1.1, "between 0 and 1"),
            (0, "between 0 and 1"),
            (-LR, "between 0 and 1"),
        ],
    ),
    (
        checks.check_xor,
        [
            (([[1, 0], [0, 1]], [0, 0], [1, 1]), "computes 0, 1, 1, 2."),
            (([[1, 1], [1, 1]], [0, 0], [1, -2]), "computes 0, -1, -1, -2."),
            (([[1, 1], [1, 1]], [0, -1], [1, -1]), "computes 0, 1, 1, 1."),
            (([[1, 1], [1, 1]], [0, -1], [2, -4]), "computes 0, 2, 2, 0."),
            (([[0, 0], [0, 0]], [0, 0], [0, 0]), "computes 0, 0, 0, 0."),
            (([[1, 1], [1, 1]], [0, -1]), "Give"),
            (([[1, 1, 1], [1, 1, 1]], [0, -1], [1, -2]), "Give"),
            ([0, 1, 1, 0], "Give"),
        ],
    ),
    (
        checks.check_learning_rate,
        [
            (10, "So far does plain SGD move"),
            (-10, "So far does plain SGD move"),
            (0.0316, "Do not forget"),
            (1e-5, "something as large"),
            (1000, "Set answer to the distance"),
            (0.001, "by 1 - 0.9^1, too"),
            (0, "Set answer to the distance"),
        ],
    ),
    (
        checks.check_unscaled_inputs,
        [
            (0.2 / 255, "both grow by 255"),
            (0.2, "limit for 0 to 1"),
            (51, "higher or lower"),
            (13005, "higher or lower"),
            (0.001, "Set answer to a learning rate"),
            (1 / 65025, "Set answer to a learning rate"),
            (2e-6, "Set answer to a learning rate"),
        ],
    ),
]
RIGHT += answers_6_to_10.RIGHT
WRONG += answers_6_to_10.WRONG
NO_ANSWERS_AT_ALL = ["", "650", True, [], math.nan, {}, object()]


@pytest.mark.parametrize(("check", "answers"), RIGHT)
def test_right_answers(check: Check, answers: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    for answer in answers:
        assert check(answer) is True
        assert capsys.readouterr().out.startswith("Right: ")


@pytest.mark.parametrize(("check", "answers"), WRONG)
def test_wrong_answers(check: Check, answers: list[tuple[Any, str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert len(answers) >= 5
    for answer, hint in answers:
        assert check(answer) is False
        printed = capsys.readouterr().out
        assert f"{answer!r} is not right. " in printed
        assert hint in printed


@pytest.mark.parametrize("check", [check for check, _ in RIGHT])
def test_what_is_no_answer(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(None) is None
    assert capsys.readouterr().out.startswith("No answer yet. ")
    for answer in NO_ANSWERS_AT_ALL:
        assert check(answer) is False
        assert "is not right" in capsys.readouterr().out


@pytest.mark.parametrize("check", [check for check, _ in RIGHT])
def test_hints_do_not_give_the_answer_away(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    (wrong,) = [answers for other, answers in WRONG if other is check]
    right = {"650", "0.0510", "0.051", "0.9490", "3.08e-06", "3.1e-6", "[1, -2]"}
    check(None)
    for answer, _ in wrong:
        check(answer)
    said = " ".join(line.split("is not right.")[-1] for line in capsys.readouterr().out.splitlines())
    assert not {word for word in right if word in said}
