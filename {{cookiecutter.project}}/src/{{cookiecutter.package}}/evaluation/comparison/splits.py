"""Whether runs may be compared: numbers of the same test images may, whatever each was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import UserError
from .candidate import Candidate

NUM_DIGITS = 8  # of a hash that are shown


def have_same_test_images(candidates: Sequence[Candidate]) -> bool:
    return all(candidate.images == candidates[0].images for candidate in candidates)


def require_same_test_images(candidates: Sequence[Candidate]) -> None:
    """Raise a UserError, with the first two runs that were tested on different images."""
    first = candidates[0]
    for other in candidates:
        if other.images != first.images:
            num_shared = len(set(first.images) & set(other.images))
            raise UserError(
                f"{first.name!r} was tested on {len(first.images):,} images, {other.name!r} on {len(other.images):,}, "
                f"and {num_shared:,} of these are the same with the same class: their numbers cannot be compared. "
                "Compare runs with one test split, which the verb split writes down for good, or show them side by "
                "side, without any test of significance, with --allow_different_splits."
            )


def describe_training_splits(candidates: Sequence[Candidate]) -> str | None:
    """A sentence where the runs share their test images, and not those for training or validation."""
    runs: dict[str, list[str]] = {}
    for candidate in candidates:
        if candidate.record is not None:
            runs.setdefault(str(candidate.record.summary.get("split_hash")), []).append(candidate.name)
    if len(runs) < 2:
        return None
    parts = "; ".join(f"{split_hash[:NUM_DIGITS]} ({', '.join(names)})" for split_hash, names in runs.items())
    return f"Same test images, but different training or validation images: split hashes {parts}."
