"""Text of the comparison table's cells; two lines per cell, so that rows fit a terminal."""

from __future__ import annotations

from ...pages.rendering import duration, two_digits
from .candidate import MARK, Candidate

Cell = tuple[str, str]

NOTHING = "-"

HEADINGS: list[Cell] = [
    ("run", "model"),
    ("accuracy", "95 % interval"),
    ("macro-F1", ""),
    ("train time", "predict time"),
    ("parameters", "trained"),
    ("train images", "best epoch"),
]


def cells(candidate: Candidate) -> list[Cell]:
    """One cell per heading; a dash if a baseline or an older run has no value."""
    num, (lower, upper) = len(candidate.images), candidate.interval
    best = "" if candidate.best_epoch is None else f"{candidate.best_epoch} of {candidate.num_epochs}"
    of_all = "" if candidate.num_parameters is None else f"of {count(candidate.num_parameters)}"
    return [
        (candidate.name, candidate.model),
        (percent(candidate.accuracy, num) + (f" {MARK}" if candidate.notes else ""), interval(lower, upper, num)),
        (f"{candidate.f1:.3f}", ""),
        (duration(candidate.seconds), f"{two_digits(candidate.milliseconds_per_image)} ms/image"),
        (count(candidate.num_trained), of_all),
        (count(candidate.num_train_images), best),
    ]


def percent(share: float, num_images: int) -> str:
    """With as many decimals as the number of images supports."""
    return f"{100 * share:.{decimals(num_images)}f} %"


def interval(lower: float, upper: float, num_images: int) -> str:
    return f"{100 * lower:.{decimals(num_images)}f} to {100 * upper:.{decimals(num_images)}f}"


def decimals(num_images: int) -> int:
    return 1 if num_images < 2000 else 2


def count(number: int | None) -> str:
    """Short where it is long: 812, 19,562, 3.37 M."""
    if number is None:
        return NOTHING
    return f"{number:,}" if number < 1_000_000 else f"{number / 1e6:,.2f} M"
