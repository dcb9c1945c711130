"""The checks of the exercises. Each prints whether an answer is right; read on only after you have tried."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Hint = tuple[Callable[[Any], bool], str]  # whether the hint fits an answer, and the hint


def judge(answer: Any, how: str, is_right: Callable[[Any], bool], why: str, *hints: Hint) -> bool | None:
    """Print a reply to an answer, and return whether it is right; None if there is no answer yet.

    Args:
        answer: what the reader has given.
        how: how to answer, printed if the answer is None.
        is_right: whether an answer is right. An answer of a wrong type, for which it raises an error, is not.
        why: printed if the answer is right.
        hints: what to think about, for mistakes that are expected; the first that fits is printed.
    """
    if answer is None:
        print(f"No answer yet. {how}")
        return None
    if holds(is_right, answer):
        print(f"Right: {why}")
        return True
    fitting = [hint for fits, hint in hints if holds(fits, answer)]
    print(f"{answer!r} is not right. {fitting[0] if fitting else how}")
    return False


def holds(condition: Callable[[Any], bool], answer: Any) -> bool:
    try:
        return bool(condition(answer))
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
        return False


def near(wanted: float, tolerance: float) -> Callable[[Any], bool]:
    """Whether a number differs from ``wanted`` by at most ``tolerance``; True and False are no numbers here."""
    return lambda answer: not isinstance(answer, bool) and math.isclose(answer, wanted, rel_tol=0, abs_tol=tolerance)
