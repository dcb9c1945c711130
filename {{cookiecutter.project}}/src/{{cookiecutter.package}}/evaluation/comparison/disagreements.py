"""Test images that two runs classify differently."""

from __future__ import annotations

from dataclasses import dataclass

from .candidate import Candidate


@dataclass(frozen=True)
class Opinion:
    """A run's prediction for an image: class, probability, and whether it is correct."""

    class_name: str
    probability: float
    is_correct: bool


@dataclass(frozen=True)
class Disagreement:
    """An image and the predictions of two runs."""

    name: str
    true_class: str
    first: Opinion
    second: Opinion


def disagreements(first: Candidate, second: Candidate) -> list[Disagreement]:
    """Images that two runs classify differently, sorted by the confidence of both; they have the same test images."""
    opinions = zip(first.images, opinions_of(first), opinions_of(second), strict=True)
    found = [
        Disagreement(name, true_class, one, other)
        for (name, true_class), one, other in opinions
        if one.class_name != other.class_name
    ]
    return sorted(found, key=lambda image: -min(image.first.probability, image.second.probability))


def opinions_of(candidate: Candidate) -> list[Opinion]:
    """One prediction per image, in the order of ``candidate.images``."""
    record, outputs = candidate.record, candidate.outputs
    assert record is not None
    assert outputs is not None
    class_names = record.class_names
    answers = zip(outputs.predicted, outputs.probabilities.max(axis=1), outputs.is_correct, strict=True)
    return [Opinion(class_names[label], float(share), bool(is_correct)) for label, share, is_correct in answers]
