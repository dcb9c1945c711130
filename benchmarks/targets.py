"""What the project promises about its speed, as figures of programs and the bound that each must keep."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from results import Results

Figure = tuple[str, str]
"""A program and the name of one of its figures."""


@dataclass(frozen=True)
class Target:
    """A bound on a figure or, where ``other`` is given, on its ratio to another one.

    Attributes:
        number: in the list of promises; several targets can share one.
        claim: what is bounded, for the page.
        ours: the figure, or the numerator.
        kind: which side of the bound is right.
        bound: of the ratio of medians, or of the median.
        other: the denominator.
    """

    number: int
    claim: str
    ours: Figure
    kind: Literal["at most", "at least"]
    bound: Fraction
    other: Figure | None = None

    def value(self, results: Results) -> float | None:
        """None where something was not measured, or not on the same device."""
        ours = results.spread(*self.ours)
        if self.other is None or ours is None:
            return ours.median if ours else None
        other = results.spread(*self.other)
        same_device = results.device(self.ours[0]) == results.device(self.other[0])
        return ours.median / other.median if other and same_device else None

    def reached(self, value: float) -> bool:
        return value <= self.bound if self.kind == "at most" else value >= self.bound


def at_most(bound: str, number: int, claim: str, ours: Figure, other: Figure | None = None) -> Target:
    return Target(number, claim, ours, "at most", Fraction(bound), other)


def at_least(bound: str, number: int, claim: str, ours: Figure, other: Figure | None = None) -> Target:
    return Target(number, claim, ours, "at least", Fraction(bound), other)


FIT, PROCESS, EPOCH, ACC = "fit_seconds", "process_seconds", "epoch_seconds", "test_accuracy"
PEAK, RATE = "peak_megabytes", "images_per_second"
UNTIL, FIRST, LATER = "seconds_to_target", "first_epoch_images_per_second", "later_images_per_second"

TARGETS = (
    at_most("1/7", 1, "mnist_mlp, fit until 97.8 %, to tutorial", ("ours_mlp_curve", UNTIL), ("tutorial", UNTIL)),
    at_most("1/4", 1, "mnist_mlp, whole process, to tutorial", ("ours_mlp", PROCESS), ("tutorial", PROCESS)),
    at_least("0.992", 2, "mnist_cnn, test accuracy", ("ours_cnn", ACC)),
    at_most("1/4", 2, "mnist_cnn, fit, to Keras CNN", ("ours_cnn", FIT), ("keras_cnn", FIT)),
    at_most("1/4", 2, "mnist_cnn, whole process, to Keras CNN", ("ours_cnn", PROCESS), ("keras_cnn", PROCESS)),
    at_least("0.915", 2, "fashion_cnn, test accuracy", ("ours_fashion", ACC)),
    at_most("1/3", 2, "fashion_cnn, fit, to Keras CNN", ("ours_fashion", FIT), ("keras_fashion", FIT)),
    at_most("1/3", 2, "fashion_cnn, whole process, to it", ("ours_fashion", PROCESS), ("keras_fashion", PROCESS)),
    at_most("1.2", 3, "mnist_mlp, epoch, to bare loop", ("ours_mlp", EPOCH), ("bare_mlp", EPOCH)),
    at_most("1.2", 3, "mnist_cnn, epoch, to bare loop", ("ours_cnn", EPOCH), ("bare_cnn", EPOCH)),
    at_least("4", 4, "images a second, later epochs, to ImageFolder", ("ours_photos", LATER), ("image_folder", LATER)),
    at_least("1", 4, "images a second, first epoch, to ImageFolder", ("ours_photos", FIRST), ("image_folder", FIRST)),
    at_most("1/10", 6, "folder_probe, fit, to tutorial", ("ours_probe", FIT), ("frozen_backbone", FIT)),
    at_most("1.1", 4, "peak memory, 50,000 images, to 1,000", ("memory_50k", PEAK), ("memory_1k", PEAK)),
    *(
        at_most(
            "1.1",
            5,
            f"mnist_{model}, loop of {verb}, to forward pass",
            (f"evaluation_{model}", f"{split}_loop_seconds"),
            (f"evaluation_{model}", f"{split}_forward_seconds"),
        )
        for model in ("mlp", "cnn")
        for verb, split in (("test", "test"), ("validation", "val"))
    ),
    *(
        at_least(
            "0.9",
            7,
            f"streamed images a second, augmentation {augmentation}, to memory-mapped",
            ("streaming", f"decoded_0_workers_{augmentation}_{RATE}"),
            ("streaming", f"mapped_{augmentation}_{RATE}"),
        )
        for augmentation in ("none", "standard")
    ),
    at_most(
        "1.1",
        7,
        "memory over 50,000 streamed images, to first batch",
        ("streaming_memory", "largest_megabytes"),
        ("streaming_memory", "first_batch_megabytes"),
    ),
    *(
        at_least(
            "1.7",
            8,
            f"{name}_cnn, images a second, two processes to one",
            (f"processes_{name}", f"two_{RATE}"),
            (f"processes_{name}", f"one_{RATE}"),
        )
        for name in ("fashion", "folder")
    ),
    at_least(
        "0.9", 9, "ResNet-50, images a second, to random tensors", ("ours_resnet50", RATE), ("random_tensors", RATE)
    ),
    at_most(
        "1.5", 11, "exported folder_probe, seconds to the first prediction", ("exported", "first_prediction_seconds")
    ),
    at_least("1", 11, "exported folder_probe, same class, to all images", ("exported", "onnx_same_class_share")),
    *(
        at_least("1", 10, f"serving, {n} clients, requests answered", ("serving", f"{n}_clients_answered_share"))
        for n in (1, 8, 32)
    ),
    at_least("1", 10, "serving, 1,000 hostile uploads, answered as must be", ("serving", "hostile_right_share")),
)
