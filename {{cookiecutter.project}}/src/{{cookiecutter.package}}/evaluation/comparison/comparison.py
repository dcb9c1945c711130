"""All parts of a comparison, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .baselines import MAX_SIDE, MAX_TRAIN_IMAGES, measure_baselines
from .candidate import MARK, Candidate, best_first
from .disagreements import Disagreement, disagreements
from .paired import PairedTest, against_each, all_pairs
from .seeds import SeedGroup, seed_groups
from .settings import differing_settings
from .splits import describe_training_splits, have_same_test_images

MAX_RUNS_IN_MATRIX = 8


@dataclass(frozen=True)
class Comparison:
    """Comparison of one or more runs.

    Attributes:
        candidates: runs and baselines, the best first.
        groups: groups of runs that differ only in their seed.
        has_same_test_images: whether all candidates have the same test images; if not, there are no paired tests.
        tests: tests of the best run against each other candidate.
        matrix: tests of every pair of candidates; empty for two candidates, or for too many to show.
        disagreements: images that the two best runs classify differently.
        settings: settings that differ between the runs, in the order of ``candidates``.
        warnings: warnings, shown before the results.
        notes: notes, shown after the results.
    """

    candidates: list[Candidate]
    groups: list[SeedGroup]
    has_same_test_images: bool
    tests: list[PairedTest]
    matrix: list[PairedTest]
    disagreements: list[Disagreement]
    settings: dict[str, list[str]]
    warnings: list[str]
    notes: list[str]

    @property
    def runs(self) -> list[Candidate]:
        """The candidates that are no baselines."""
        return [candidate for candidate in self.candidates if candidate.record is not None]

    @property
    def best(self) -> Candidate:
        """The best run."""
        return self.runs[0]

    @property
    def test_set(self) -> str:
        """Data set and number of test images of the runs."""
        sections = [run.record.config["data"] for run in self.runs if run.record is not None]
        places = (" ".join([data["class_path"], str(data.get("init_args", {}).get("root", ""))]) for data in sections)
        return f"{', '.join(dict.fromkeys(place.strip() for place in places))}: {len(self.best.images):,} test images"


def compare_runs(runs: list[Candidate], with_baselines: bool) -> Comparison:
    """Compare.

    Args:
        runs: at least one, in the order given: baselines are fitted on the data of the first.
        with_baselines: whether baselines take part.
    """
    candidates = best_first([*runs, *(measure_baselines(runs[0]) if with_baselines else [])])
    ranked = best_first(runs)
    is_same = have_same_test_images(candidates)
    others = [candidate for candidate in candidates if candidate is not ranked[0]]
    has_matrix = is_same and len(candidates) > 2 and len(runs) <= MAX_RUNS_IN_MATRIX
    return Comparison(
        candidates=candidates,
        groups=seed_groups(runs),
        has_same_test_images=is_same,
        tests=against_each(ranked[0], others) if is_same else [],
        matrix=all_pairs(candidates) if has_matrix else [],
        disagreements=disagreements(*ranked[:2]) if is_same and len(ranked) > 1 else [],
        settings=differing_settings(ranked),
        warnings=warnings_about(ranked, is_same),
        notes=notes_about(runs, candidates, is_same),
    )


def warnings_about(runs: Sequence[Candidate], is_same: bool) -> list[str]:
    different = (
        "These runs were tested on different images, so their accuracies cannot be compared: the order below is not "
        "a ranking, and there are no significance tests."
    )
    marked = [f"{MARK} {run.name}: {note}" for run in runs for note in run.notes]
    return marked if is_same else [different, *marked]


def notes_about(runs: list[Candidate], candidates: Sequence[Candidate], is_same: bool) -> list[str]:
    notes = []
    if is_same and (splits := describe_training_splits(runs)):
        notes.append(splits)
    for baseline in [candidate for candidate in candidates if candidate.record is None][:1]:
        notes.append(
            f"The baselines are fitted on {baseline.num_train_images:,} training images of {runs[0].name} (at most "
            f"{MAX_TRAIN_IMAGES:,}, each class in proportion), downscaled to at most {MAX_SIDE} pixels a side."
        )
    return notes
