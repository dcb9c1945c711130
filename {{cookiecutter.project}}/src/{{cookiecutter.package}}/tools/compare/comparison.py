"""Comparison of runs on the same test images: paired significance tests, disagreements, differing settings."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.record import WITHOUT_EFFECT, flatten
from ...errors import without_secrets
from .candidates import MAX_SIDE, MAX_TRAIN_IMAGES, Candidate, Run, best_first, measure_baselines

MARK = "*"  # beside an accuracy to which a warning belongs
USUAL_METRICS = {"test/acc", "test/f1", "test/balanced_acc", "test/loss"}


class Comparison:
    """Comparison of runs, and of baselines that are fitted on the images of the first run."""

    def __init__(self, runs: Sequence[Run], with_baselines: bool) -> None:
        self.runs = best_first(runs)
        self.best = self.runs[0]
        baselines = measure_baselines(runs[0]) if with_baselines else []
        self.candidates = best_first([*runs, *baselines])
        self.metrics = further_metrics([run.summary for run in self.runs])
        self.groups = seed_groups(runs)
        self.settings = differing_settings(self.runs)
        self.tests: list[PairedTest] = []  # of the best run against each other candidate, on the same test images
        self.matrix: list[PairedTest] = []  # of every pair of candidates, if they are neither two nor too many to show
        self.disagreements: list[dict[str, Any]] = []  # images that the two best runs classify differently
        self.warnings = [f"{MARK} {run.name}: {note}" for run in self.runs for note in run.summary.get("notes", ())]
        self.notes: list[str] = []  # shown after the results, and the warnings before them
        self.has_same_test_images = all(run.keys == self.best.keys for run in runs)
        if self.has_same_test_images:
            self.tests = paired_tests([(self.best, other) for other in self.candidates if other is not self.best])
            if len(self.candidates) > 2 and len(runs) <= 8:
                self.matrix = paired_tests(combinations(self.candidates, 2))
            if len(runs) > 1:
                self.disagreements = disagreements(*self.runs[:2])
            names: dict[str, list[str]] = {}
            for run in runs:
                names.setdefault(str(run.summary.get("split_hash"))[:8], []).append(run.name)
            if len(names) > 1:
                parts = "; ".join(f"{split_hash} ({', '.join(of_hash)})" for split_hash, of_hash in names.items())
                text = "Same test images, but different training or validation images: split hashes"
                self.notes.append(f"{text} {parts}.")
        else:
            self.warnings.insert(
                0,
                "These runs were tested on different images, so their accuracies cannot be compared: the order below "
                "is not a ranking, and there are no significance tests.",
            )
        if baselines:
            self.notes.append(
                f"The baselines are fitted on {baselines[0].summary['num_train_images']:,} training images of "
                f"{runs[0].name} (at most {MAX_TRAIN_IMAGES:,}, each class in proportion), downscaled to at most "
                f"{MAX_SIDE} pixels a side."
            )

    @property
    def test_set(self) -> str:
        """Data set and number of test images of the runs."""
        sections = [run.record.config["data"] for run in self.runs]
        places = (f"{data['class_path']} {data.get('init_args', {}).get('root', '')}".strip() for data in sections)
        return f"{', '.join(dict.fromkeys(places))}: {len(self.best.keys):,} test images"


def seed_groups(runs: Sequence[Run]) -> list[list[Run]]:
    """Groups of at least two runs that differ only in their seed, the highest mean accuracy first."""
    groups: dict[str, list[Run]] = {}
    ignored = WITHOUT_EFFECT | {"seed_everything"}
    for run in runs:
        settings = {name: value for name, value in run.record.config.items() if name not in ignored}
        groups.setdefault(json.dumps(settings, sort_keys=True, default=str), []).append(run)
    several = [group for group in groups.values() if len(group) > 1]
    return sorted(several, key=lambda group: -fmean(run.accuracy for run in group))


def differing_settings(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Values of each setting that differs between runs: one per run, empty if the run does not have the setting."""
    configs = [dict(flatten(without_secrets(run.record.config))) for run in runs]
    names = dict.fromkeys(name for config in configs for name in config)
    values = {name: [config.get(name, "") for config in configs] for name in names}
    return {name: of_runs for name, of_runs in values.items() if len(set(of_runs)) > 1}


def further_metrics(summaries: Sequence[dict[str, Any]]) -> list[str]:
    """Metrics that all summaries have besides the usual ones, such as ``test/top5``."""
    names = [name for name in summaries[0] if name.startswith("test/") and name not in USUAL_METRICS]
    return [name for name in names if all(isinstance(summary.get(name), float) for summary in summaries)]


@dataclass(frozen=True)
class PairedTest:
    """McNemar's exact test of two candidates on the same test images."""

    first: Candidate
    second: Candidate
    only_first: int  # number of images that only the first classifies correctly
    only_second: int
    p_value: float  # of counts at least as unequal if both were equally good, after Holm's correction

    @property
    def points(self) -> float:
        """Accuracy of the first minus that of the second, in percentage points."""
        return 100 * (self.only_first - self.only_second) / len(self.first.is_correct)

    @property
    def is_significant(self) -> bool:
        return self.p_value < 0.05

    @property
    def verdict(self) -> str:
        if self.only_first == self.only_second:
            return f"no difference in accuracy on {len(self.first.is_correct):,} images"
        verb = "is real" if self.is_significant else "could be chance"
        return f"the difference of {self.points:+.1f} points {verb} ({format_p_value(self.p_value)})"


def format_p_value(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def paired_tests(pairs: Iterable[tuple[Candidate, Candidate]]) -> list[PairedTest]:
    """A test of each pair, corrected for the number of tests."""
    pairs = list(pairs)
    counts = [
        (int((first.is_correct & ~second.is_correct).sum()), int((second.is_correct & ~first.is_correct).sum()))
        for first, second in pairs
    ]
    p_values = holm(np.array([mcnemar(*count) for count in counts])).tolist()
    return [PairedTest(*pair, *count, p) for pair, count, p in zip(pairs, counts, p_values, strict=True)]


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of McNemar's test (Psychometrika 12, 1947), from the binomial distribution.

    Only images that exactly one of the two classifies correctly count. If both are equally good, each of these is
    equally likely to be correct for either. Dietterich (Neural Computation 10, 1998) recommends this test for
    classifiers that were trained once.
    """
    from scipy.stats import binomtest

    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correct M p-values (M,), so that one of them is below 0.05 by chance in at most 5 % of all cases.

    The smallest is multiplied by M, the next by M - 1, and so on; none may be smaller than the one before it (Holm,
    Scandinavian Journal of Statistics 6, 1979).
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return adjusted


def disagreements(first: Run, second: Run) -> list[dict[str, Any]]:
    """Images that two runs classify differently, those on which both are most confident first."""
    pairs = [
        {"name": name, "true_class": true_class, "first": one, "second": other}
        for name, (_, true_class), one, other in zip(
            first.outputs.names, first.keys, predictions_of(first), predictions_of(second), strict=True
        )
        if one["class_name"] != other["class_name"]
    ]
    return sorted(pairs, key=lambda pair: -min(pair["first"]["probability"], pair["second"]["probability"]))


def predictions_of(run: Run) -> list[dict[str, Any]]:
    """Prediction for each test image, in the order of ``run.keys``."""
    probabilities = run.outputs.probabilities.max(axis=1).tolist()
    return [
        {"class_name": run.record.class_names[label], "probability": probability, "is_correct": is_correct}
        for label, probability, is_correct in zip(run.outputs.predicted, probabilities, run.is_correct, strict=True)
    ]
