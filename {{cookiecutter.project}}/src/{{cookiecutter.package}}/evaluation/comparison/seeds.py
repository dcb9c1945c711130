"""Groups runs that differ only in their seed, to show mean and spread of a recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from .candidate import Candidate

# Sections of a config that do not affect the training.
WITHOUT_EFFECT = {"run", "tracking"}


@dataclass(frozen=True)
class SeedGroup:
    """Two or more runs of one recipe.

    Attributes:
        recipe: its name.
        candidates: the runs.
        seeds: one of each run.
    """

    recipe: str
    candidates: list[Candidate]
    seeds: list[str]

    @property
    def mean(self) -> float:
        """Of the accuracies."""
        return fmean(self.accuracies)

    @property
    def spread(self) -> tuple[float, float]:
        """Lowest and highest accuracy."""
        return min(self.accuracies), max(self.accuracies)

    @property
    def accuracies(self) -> list[float]:
        return [candidate.accuracy for candidate in self.candidates]


def seed_groups(candidates: Sequence[Candidate]) -> list[SeedGroup]:
    """Groups of at least two runs, the best on average first."""
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.record is not None:
            groups.setdefault(config_without_seed(candidate), []).append(candidate)
    several = [group_of(members) for members in groups.values() if len(members) > 1]
    return sorted(several, key=lambda group: -group.mean)


def config_without_seed(candidate: Candidate) -> str:
    assert candidate.record is not None
    ignored = WITHOUT_EFFECT | {"seed_everything"}
    settings = {name: value for name, value in candidate.record.config.items() if name not in ignored}
    return json.dumps(settings, sort_keys=True, default=str)


def group_of(candidates: list[Candidate]) -> SeedGroup:
    summaries = [candidate.record.summary for candidate in candidates if candidate.record is not None]
    return SeedGroup(summaries[0]["recipe"], candidates, [str(summary["seed"]) for summary in summaries])
