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


def check_activations(answer: Any) -> bool | None:
    slope = max(share / 1000 * (1 - share / 1000) for share in range(1001))
    return judge(
        answer,
        "Give one number, for example answer = 0.1 ** 10.",
        lambda given: math.isclose(given, slope**10, rel_tol=0.01),
        "each of ten sigmoids takes at least three quarters of the gradient. The slope of tanh reaches 1.",
        (near(slope, 1e-3), "That is the largest slope of one sigmoid. There are ten."),
        (near(10 * slope, 1e-3), "On the way back, the slopes are multiplied, not added."),
        (lambda given: given >= 1, "A slope of s (1 - s) is below 1, and so are products of such slopes."),
        (lambda given: math.isclose(given, 0.5**10, rel_tol=0.01), "One half is the s of the largest slope s (1 - s)."),
        (lambda given: math.isclose(given, slope**9, rel_tol=0.01), "There are ten sigmoids, so ten slopes."),
        (lambda given: given > 0, "For which s is s (1 - s) largest? Take that slope ten times as a factor."),
    )


def check_six_broken(answer: Any) -> bool | None:
    faults = ["rate", "nan", "labels", "little data", "leak", "alike"]
    return judge(
        answer,
        f"Give one of these words: {', '.join(faults)}.",
        lambda given: faults.index(given.strip().lower()) == len(faults) - 2,
        "neighbouring frames of a video are nearly copies, and they are in all splits. No two files are equal, so the "
        "notes are empty; audit reports near-identical images. Split by video: split photos/ --group REGEX.",
        (lambda given: given.strip().lower() in faults[:2], "Then training itself would fail. It is at 99.8 %."),
        (lambda given: given.strip().lower() == faults[2], "Then validation accuracy would be a guess. It is 99.7 %."),
        (lambda given: given.strip().lower() == faults[3], "Then validation would be far below training. Is it?"),
        (lambda given: given.strip().lower() == faults[-1], "Then fit would refuse. What do frames of a video share?"),
    )


def check_little_data(answer: Any) -> bool | None:
    share, num_images = 0.92, 359
    variance = share * (1 - share) / num_images
    error = 100 * math.sqrt(variance)
    return judge(
        answer,
        "Give one number in points of percent, for example answer = 0.5.",
        near(error, 0.02),
        "so 92 and 93 % on these images are no difference yet. On the same images, compare is a sharper test.",
        (near(error / 100, 1e-3), "That is a share of 1. In points of percent it is 100 times as large."),
        (near(100 * math.sqrt(share * (1 - share) / 144), 0.02), "n counts test images, not training images."),
        (near(100 * variance, 0.002), "That is the variance, times 100. The standard error is its square root."),
        (near(100 * math.sqrt(share / num_images), 0.05), "p is multiplied by 1 - p before it is divided by n."),
        (near(100 * math.sqrt(share * (1 - share)), 0.1), "Divide by the number of images before the root."),
    )


def check_convolution(answer: Any) -> bool | None:
    pixels = 28**2
    return judge(
        answer,
        "Give one whole number.",
        lambda given: not isinstance(given, bool) and given == pixels * 8 * pixels,
        "each output has a weight for each pixel. The convolution uses the same 72 weights at each place.",
        (near(8 * 9, 0), "That is the convolution. In a fully connected layer, outputs share no weights."),
        (near(8 * pixels, 0), "That is the number of outputs. Each of them has a weight for each pixel."),
        (near(pixels * pixels, 0), "That is for one map. There are eight."),
        (near(pixels * 8 * pixels + 8 * pixels, 0), "That counts the biases as well."),
        (near(8 * pixels * 9, 0), "Each output is connected to all pixels of the image, not to nine of them."),
    )


def check_transfer(answer: Any) -> bool | None:
    features, classes, everything = 1280, 2, 3_373_570
    return judge(
        answer,
        "Give one whole number.",
        lambda given: not isinstance(given, bool) and given == (features + 1) * classes,
        "so few numbers can be learned from twenty photographs. The others come from a million of ImageNet.",
        (near(features * classes, 0), "Each class has a bias, too."),
        (near(features + 1, 0), "That is one class. There are two."),
        (near(features + classes, 0), "Each class has a weight for each of the features."),
        (near(everything, 0), "That is the whole network. Its backbone stays frozen."),
        (near(everything - (features + 1) * classes, 0), "Those stay frozen. How many are left?"),
    )
