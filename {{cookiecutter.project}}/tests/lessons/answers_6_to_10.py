"""Right and wrong answers to the exercises of lessons 6 to 10, for ``test_checks``."""

import math
from collections.abc import Callable
from typing import Any

import checks
import numpy as np

Check = Callable[[Any], bool | None]
ERROR = math.sqrt(0.92 * 0.08 / 359)  # of lesson 7, as a share of 1

RIGHT: list[tuple[Check, list[Any]]] = [
    (checks.check_activations, [0.25**10, 1e-6, 9.54e-7, 1e-6 * 0.954, np.float64(4.0**-10)]),
    (checks.check_little_data, [100 * ERROR, 1.4, 1.43, np.float32(1.432)]),
    (checks.check_convolution, [4_917_248, 784 * 784 * 8, np.int64(4_917_248)]),
    (checks.check_transfer, [2562, 2562.0, 1281 * 2]),
    (checks.check_six_broken, ["leak", "Leak", " leak "]),
]
# Each wrong answer, and a part of the hint.
WRONG: list[tuple[Check, list[tuple[Any, str]]]] = [
    (
        checks.check_activations,
        [
            (0.25, "one sigmoid"),
            (2.5, "multiplied, not added"),
            (1.0, "is below 1"),
            (0.5**10, "One half is the s"),
            (0.25**9, "ten slopes"),
            (1e-8, "For which s"),
            (0, "Give one number"),
            (-0.25, "Give one number"),
        ],
    ),
    (
        checks.check_little_data,
        [
            (ERROR, "share of 1"),
            (100 * math.sqrt(0.92 * 0.08 / 144), "test images"),
            (100 * ERROR**2, "square root"),
            (100 * math.sqrt(0.92 / 359), "1 - p"),
            (100 * math.sqrt(0.92 * 0.08), "before the root"),
            (1.5, "into the formula"),
            (92, "into the formula"),
        ],
    ),
    (
        checks.check_convolution,
        [
            (72, "share no weights"),
            (6272, "number of outputs"),
            (614_656, "one map"),
            (4_923_520, "biases"),
            (56_448, "not to nine"),
            (28 * 28, "Each pair of them"),
        ],
    ),
    (
        checks.check_transfer,
        [
            (2560, "bias"),
            (1281, "There are two"),
            (1282, "each of the features"),
            (3_373_570, "frozen"),
            (3_371_008, "How many are left"),
            (1280, "Each pair of a feature and a class"),
        ],
    ),
    (
        checks.check_six_broken,
        [
            ("rate", "training itself would fail"),
            ("nan", "training itself would fail"),
            ("labels", "would be a guess"),
            ("little data", "far below training"),
            ("alike", "fit would refuse"),
            ("overfitted", "Give one of these words"),
        ],
    ),
]
