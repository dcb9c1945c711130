"""The cells of the comparison's table, as text: two lines a cell, so that a row is not wider than a terminal."""

from __future__ import annotations

from .candidate import MARK, Candidate

Cell = tuple[str, str]

NOTHING = "-"

HEADINGS: list[Cell] = [
    ("run", "model"),
    ("accuracy", "95 %"),
    ("macro-", "F1"),
    ("training", "per image"),
    ("trained", "parameters"),
    ("train set", "best epoch"),
]


def cells(candidate: Candidate) -> list[Cell]:
    """One for each heading; a dash where a baseline, or an older run, has no such thing."""
    num, (lower, upper) = len(candidate.images), candidate.interval
    best = NOTHING if candidate.best_epoch is None else f"{candidate.best_epoch} of {candidate.num_epochs}"
    return [
        (candidate.name, candidate.model),
        (percent(candidate.accuracy, num) + (f" {MARK}" if candidate.notes else ""), interval(lower, upper, num)),
        (f"{candidate.f1:.3f}", ""),
        (duration(candidate.seconds), f"{two_digits(candidate.milliseconds_per_image)} ms"),
        (count(candidate.num_trained), count(candidate.num_parameters)),
        (count(candidate.num_train_images), best),
    ]


def percent(share: float, num_images: int) -> str:
    """With as many decimals as the number of images can fill."""
    return f"{100 * share:.{decimals(num_images)}f} %"


def interval(lower: float, upper: float, num_images: int) -> str:
    return f"{100 * lower:.{decimals(num_images)}f} to {100 * upper:.{decimals(num_images)}f}"


def decimals(num_images: int) -> int:
    return 1 if num_images < 2000 else 2


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{two_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def two_digits(number: float) -> str:
    """Of what was measured with a clock: 1.9, 83, 120."""
    if number < 0.01:
        return "< 0.01"
    return f"{number:.2g}" if number < 10 else f"{number:.0f}"


def count(number: int | None) -> str:
    """Short where it is long: 812, 19,562, 3.37 M."""
    if number is None:
        return NOTHING
    return f"{number:,}" if number < 1_000_000 else f"{number / 1e6:,.2f} M"
