"""Checks which runs can be compared: those with the same test images."""

from __future__ import annotations

from collections.abc import Sequence

from .candidate import Candidate

NUM_DIGITS = 8  # digits of a hash that are shown


def have_same_test_images(candidates: Sequence[Candidate]) -> bool:
    return all(candidate.keys == candidates[0].keys for candidate in candidates)


def by_test_images(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Groups of runs with the same test images, in the order of their first runs."""
    groups: dict[tuple[tuple[str, str], ...], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(tuple(candidate.keys), []).append(candidate)
    return list(groups.values())


def describe_training_splits(candidates: Sequence[Candidate]) -> str | None:
    """A sentence if the runs have the same test images, but different training or validation images."""
    runs: dict[str, list[str]] = {}
    for candidate in candidates:
        if candidate.record is not None:
            runs.setdefault(str(candidate.record.summary.get("split_hash")), []).append(candidate.name)
    if len(runs) < 2:
        return None
    parts = "; ".join(f"{split_hash[:NUM_DIGITS]} ({', '.join(names)})" for split_hash, names in runs.items())
    return f"Same test images, but different training or validation images: split hashes {parts}."
