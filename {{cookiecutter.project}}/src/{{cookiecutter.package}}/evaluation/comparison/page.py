"""A comparison as an HTML page of one file, with plots and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...pages.rendering import render
from .baselines import MAJORITY
from .candidate import Candidate
from .comparison import Comparison
from .disagreements import Disagreement
from .paired import format_p_value
from .pictures import pictures
from .plot import Point, plot_accuracy
from .table import HEADINGS, cells, decimals

MAX_PICTURES = 24
SHORTEST = 0.001  # seconds that a logarithmic axis shows


def write_page(file: Path, comparisons: Sequence[Comparison], unfinished: Sequence[Path] = ()) -> None:
    """Write one file, which needs no other file and no network.

    Args:
        file: HTML file, replaced where it is there.
        comparisons: one for each set of test images.
        unfinished: run directories without a test result.
    """
    page = render(
        __package__,
        filters={"decimals": decimals, "p_value": format_p_value},
        parts=[describe(comparison) for comparison in comparisons],
        num_runs=sum(len(comparison.runs) for comparison in comparisons),
        unfinished=[str(directory) for directory in unfinished],
        date=datetime.now().strftime("%Y-%m-%d %H:%M"),
        headings=HEADINGS,
    )
    file.write_text(page, encoding="utf-8")


def describe(comparison: Comparison) -> dict[str, Any]:
    """What the template shows of one set of test images."""
    shown = comparison.disagreements[:MAX_PICTURES]
    images, problem = pictures_of(comparison, shown)
    return {
        "comparison": comparison,
        "rows": [cells(candidate) for candidate in comparison.candidates],
        "plots": plots(comparison),
        "is_majority_hidden": is_majority_hidden(comparison.candidates),
        "pairs": {(test.first.name, test.second.name): test for test in comparison.matrix},
        "shown": shown,
        "pictures": images,
        "problem": problem,
    }


def pictures_of(comparison: Comparison, shown: list[Disagreement]) -> tuple[dict[str, str], str | None]:
    """Data URLs by the names of images and, where they are gone, the reason."""
    record = comparison.best.record
    if not shown or record is None:
        return {}, None
    try:
        return pictures(record, [image.name for image in shown]), None
    except UserError as error:
        return {}, str(error)


def plots(comparison: Comparison) -> dict[str, str]:
    """SVG by caption: accuracy against time and, where runs differ in it, against the number of training images."""
    is_hidden = is_majority_hidden(comparison.candidates)
    ranked = [
        (rank, candidate)
        for rank, candidate in enumerate(comparison.candidates, start=1)
        if not (is_hidden and candidate.name == MAJORITY)
    ]
    if len(ranked) == 1:
        return {}
    times = [Point(rank, candidate, max(SHORTEST, candidate.seconds)) for rank, candidate in ranked]
    found = {"training time": plot_accuracy(times, "training time, seconds")}
    if len({candidate.num_train_images for candidate in comparison.runs} - {None}) > 1:
        amounts = [Point(rank, c, c.num_train_images) for rank, c in ranked if c.num_train_images]
        found["the number of training images"] = plot_accuracy(amounts, "training images")
    return found


def is_majority_hidden(candidates: Sequence[Candidate]) -> bool:
    """Whether the majority class would take more than half of a diagram's height, and press the others together."""
    majority = [candidate for candidate in candidates if candidate.name == MAJORITY]
    others = [candidate.interval for candidate in candidates if candidate.name != MAJORITY]
    if not majority or not others:
        return False
    lowest, highest = min(low for low, _ in others), max(high for _, high in others)
    return lowest - majority[0].interval[0] > highest - lowest
