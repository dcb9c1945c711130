"""The checks of the exercises. Each prints whether an answer is right; read on only after you have tried.

A check returns True or False, and None as long as there is no answer, so that an untouched lesson runs to its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

Hint = tuple[Callable[[Any], Any], str | Callable[[Any], str]]  # whether it fits an answer, and its text


def judge(answer: Any, how: str, is_right: Callable[[Any], Any], why: str, *hints: Hint) -> bool | None:
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
    if isinstance(answer, str) and holds(lambda text: is_right(float(text)), answer):
        print(f"{answer!r} is not right. It is a text: leave out the quotation marks.")
        return False
    hint = next((text for fits, text in hints if holds(fits, answer)), how)
    print(f"{answer!r} is not right. {hint(answer) if callable(hint) else hint}")
    return False


def holds(condition: Callable[[Any], Any], answer: Any) -> bool:
    try:
        return bool(condition(answer))
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
        return False


def near(wanted: float, tolerance: float) -> Callable[[Any], bool]:
    """Whether a number differs from ``wanted`` by at most ``tolerance``; True and False are no numbers here."""
    return lambda answer: not isinstance(answer, bool) and math.isclose(answer, wanted, rel_tol=0, abs_tol=tolerance)


def listed(numbers: Any) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def check_one_neuron(answer: Any) -> bool | None:
    inputs, middle, outputs = 64, 32, 10
    two, one = [nn.Linear(inputs, middle), nn.Linear(middle, outputs)], nn.Linear(inputs, outputs)
    separate = sum(parameter.numel() for layer in two for parameter in layer.parameters())
    merged = sum(parameter.numel() for parameter in one.parameters())
    return judge(
        answer,
        "Set answer to a whole number, the weights and biases of the one layer, and run this cell again.",
        near(merged, 0),
        "a weight for each pair of an input and an output, and a bias for each output. The 32 neurons in between add "
        "parameters, and no ability.",
        (near(separate, 0), "That is what the two layers have together. Which shape has W2 W1?"),
        (near(inputs * outputs, 0), "Those are the weights. What else has a layer?"),
        (near(merged + middle, 0), "W2 b1 + b2 is one vector. How long is it?"),
        (lambda given: given > merged, "Does the one layer depend on the 32 neurons in between?"),
        (
            lambda given: not isinstance(given, bool) and given < merged,
            "How many inputs has the one layer, and how many outputs? Each pair of them has a weight.",
        ),
    )


def check_downhill(answer: Any) -> bool | None:
    target, wanted, steps = 10, 8.84, 20
    factor = (1 - wanted / target) ** (1 / steps)  # of the distance, in each step; 20 is even: it can be negative
    low, high = (1 - factor) / 2, (1 + factor) / 2
    return judge(
        answer,
        "Set answer to a learning rate: 20 steps, each with the factor 1 - 2 lr, reduce the distance from 10 to 1.16.",
        lambda given: near(low, 1.5e-4)(given) or near(high, 1.5e-4)(given),
        "20 steps with it end at 8.84. So the course that prints 8.84 has not used 0.1.",
        (near(1 - factor, 1e-3), "The slope of (x - 10)^2 is 2 (x - 10): do not forget the 2."),
        (lambda given: not 0 < given < 1, "Then the distance does not shrink: the rate is between 0 and 1."),
        (
            lambda given: not isinstance(given, bool) and 0 < given < 1,
            lambda given: f"20 steps with it end at {target * (1 - (1 - 2 * given) ** steps):.3f}.",
        ),
    )


def check_xor(answer: Any) -> bool | None:
    inputs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])

    def outputs(given: Any) -> Any:
        hidden, biases, weights = (np.array(part, dtype=float) for part in given)
        return np.maximum(0, inputs @ hidden.reshape(2, 2).T + biases.reshape(2)) @ weights.reshape(2)

    return judge(
        answer,
        "Give ([[w, w], [w, w]], [b, b], [v, v]): the weights of the two hidden neurons, their biases, and the weights "
        "of the output.",
        lambda given: np.allclose(outputs(given), inputs[:, 0] ^ inputs[:, 1]),
        "it computes 0, 1, 1, 0. Gradient descent has to find such numbers step by step, and often stops on the way.",
        (lambda given: outputs(given).size, lambda given: f"It computes {listed(outputs(given))}."),
    )


def check_learning_rate(answer: Any) -> bool | None:
    lr, slope = 0.01, 1000.0
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    weight.grad = torch.full_like(weight, slope)
    torch.optim.Adam([weight], lr).step()
    return judge(
        answer,
        "Set answer to the distance. In the first step, which values have the mean of the slopes and the root of the "
        "mean square, once each is divided by its 1 - 0.9^1 and 1 - 0.999^1?",
        lambda given: near(abs(weight.item()), 1e-6)(abs(given)),
        "the slope is divided by itself, so the first step is as long as the learning rate, however steep the loss is.",
        (lambda given: near(lr * slope, 1e-6)(abs(given)), "So far does plain SGD move. What does Adam divide by?"),
        (lambda given: near(0.0316, 5e-4)(abs(given)), "Do not forget to divide by 1 - 0.9^step and 1 - 0.999^step."),
        (near(0.1 * lr, 1e-6), "Divide the mean of the slopes by 1 - 0.9^1, too."),
        (near(lr / slope, 1e-8), "The slope is divided by something as large as it is: what is left?"),
    )


def check_unscaled_inputs(answer: Any) -> bool | None:
    before, scale = 0.2, 255
    limit = before / scale**2
    return judge(
        answer,
        "Set answer to a learning rate. How does the steepness depend on the scale, and the limit on the steepness?",
        near(limit, 0.06 * limit),
        "255 times the pixels are 255^2 times as steep, so the limit is 65,025 times lower. Who would try such a rate?",
        (near(before / scale, 3e-5), "Slope and input both grow by 255: by how much does the steepness grow?"),
        (near(before, 1e-9), "That is the limit for 0 to 1. Larger pixels make the loss steeper."),
        (lambda given: given > before, "Is the limit higher or lower where the loss is steeper?"),
    )


def check_activations(answer: Any) -> bool | None:
    slope = max(share / 1000 * (1 - share / 1000) for share in range(1001))
    return judge(
        answer,
        "Give one number, for example answer = 0.1 ** 10.",
        lambda given: math.isclose(given, slope**10, rel_tol=0.05),
        "each of ten sigmoids takes at least three quarters of the gradient. The slope of tanh reaches 1.",
        (near(slope, 1e-3), "That is the largest slope of one sigmoid. There are ten."),
        (near(10 * slope, 1e-3), "On the way back, the slopes are multiplied, not added."),
        (lambda given: given >= 1, "A slope of s (1 - s) is below 1, and so are products of such slopes."),
        (lambda given: math.isclose(given, 0.5**10, rel_tol=0.01), "One half is the s of the largest slope s (1 - s)."),
        (lambda given: math.isclose(given, slope**9, rel_tol=0.01), "There are ten sigmoids, so ten slopes."),
        (lambda given: given > 0, "For which s is s (1 - s) largest? Take that slope ten times as a factor."),
    )


def check_little_data(answer: Any) -> bool | None:
    share, num_images = 0.92, 359
    variance = share * (1 - share) / num_images
    error = 100 * math.sqrt(variance)
    return judge(
        answer,
        "Give one number in points of percent, for example answer = 0.5.",
        near(error, 0.04),
        "so 92 and 93 % on these images are no difference yet. On the same images, compare is a sharper test.",
        (near(error / 100, 1e-3), "That is a share of 1. In points of percent it is 100 times as large."),
        (near(100 * math.sqrt(share * (1 - share) / 144), 0.02), "n counts test images, not training images."),
        (near(100 * variance, 0.002), "That is the variance, times 100. The standard error is its square root."),
        (near(100 * math.sqrt(share / num_images), 0.05), "p is multiplied by 1 - p before it is divided by n."),
        (near(100 * math.sqrt(share * (1 - share)), 0.1), "Divide by the number of images before the root."),
        (lambda given: given > 0, "Put p = 0.92 and n = 359 into the formula; times 100, it is in points of percent."),
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
        (lambda given: given > 1, "How many inputs are there, and how many outputs? Each pair of them has a weight."),
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
        (lambda given: given > 1, "Each pair of a feature and a class has a weight, and each class has a bias."),
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
