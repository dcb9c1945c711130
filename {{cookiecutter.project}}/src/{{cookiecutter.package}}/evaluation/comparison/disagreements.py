"""Test images of which two runs say different things."""

from __future__ import annotations

from dataclasses import dataclass

from .candidate import Candidate


@dataclass(frozen=True)
class Opinion:
    """What a run says of an image: a class, its probability, and whether that is right."""

    class_name: str
    probability: float
    is_correct: bool


@dataclass(frozen=True)
class Disagreement:
    """One image and what two runs say of it."""

    name: str
    true_class: str
    first: Opinion
    second: Opinion


def disagreements(first: Candidate, second: Candidate) -> list[Disagreement]:
    """All images that two runs, tested on the same ones, put into different classes; those both are surest of first."""
    opinions = zip(first.images, opinions_of(first), opinions_of(second), strict=True)
    found = [
        Disagreement(name, true_class, one, other)
        for (name, true_class), one, other in opinions
        if one.class_name != other.class_name
    ]
    return sorted(found, key=lambda image: -min(image.first.probability, image.second.probability))


def opinions_of(candidate: Candidate) -> list[Opinion]:
    """One an image, in the order of ``candidate.images``."""
    record, outputs = candidate.record, candidate.outputs
    assert record is not None
    assert outputs is not None
    class_names = record.class_names
    answers = zip(outputs.predicted, outputs.probabilities.max(axis=1), outputs.is_correct, strict=True)
    return [Opinion(class_names[label], float(share), bool(is_correct)) for label, share, is_correct in answers]
