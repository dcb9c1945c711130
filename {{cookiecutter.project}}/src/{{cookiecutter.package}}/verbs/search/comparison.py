"""Best against shipped, trained again with other seeds: was it skill, or the luck of one seed?"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Literal

from ...evaluation.summary import FILE_NAME
from ...models.monitor import MODES, Monitor
from ..fit import fit
from .trial import quietly

NUM_SEEDS = 3

Verdict = Literal["better", "worse", "no clear difference"]


@dataclass(frozen=True)
class Contender:
    """A recipe, trained with several seeds.

    Attributes:
        values: the validation metric of each training's best epoch.
        accuracies: on the test split, of the same weights.
    """

    values: list[float]
    accuracies: list[float]


@dataclass(frozen=True)
class Comparison:
    """Of the best recipe found with the shipped one."""

    metric: Monitor
    seeds: list[int]
    best: Contender
    shipped: Contender

    @property
    def verdict(self) -> Verdict:
        """Decided only where each training of one beats each of the other.

        Between recipes that are equally good, three trainings of one beat three of the other in 1 of 20 cases: one of
        the 20 orders of six trainings (Mann and Whitney, 1947).
        """
        sign = 1 if MODES[self.metric] == "max" else -1
        best, shipped = ([goodness(sign * value) for value in side.values] for side in (self.best, self.shipped))
        if min(best) > max(shipped):
            return "better"
        return "worse" if max(best) < min(shipped) else "no clear difference"

    @property
    def statement(self) -> str:
        """What was measured, in three sentences."""
        every = f"all {len(self.seeds)}"
        verdict = {
            "better": f"is better: {every} of its runs beat {every} of the shipped recipe's",
            "worse": f"is worse: {every} of the shipped recipe's runs beat {every} of its own",
            "no clear difference": "is not clearly better than the shipped recipe: the results of their runs overlap",
        }[self.verdict]
        best, shipped = spread(self.best.values), spread(self.shipped.values)
        accuracies = f"{percent(self.best.accuracies)} against {percent(self.shipped.accuracies)}"
        return (
            f"With seeds {', '.join(map(str, self.seeds))}, the best recipe found {verdict}. {self.metric}: {best} "
            f"against {shipped}. Test accuracy, by which nothing was chosen: {accuracies}."
        )


def goodness(value: float) -> float:
    return value if math.isfinite(value) else -math.inf


def spread(values: Sequence[float]) -> str:
    """Mean, lowest and highest."""
    return f"{mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def percent(shares: Sequence[float]) -> str:
    return f"{mean(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})"


def train_contender(
    name: str, options: Sequence[str], seeds: Sequence[int], folder: Path, step: Callable[[], None]
) -> Contender:
    """Train and test with each seed, in ``folder/name-seed-S``; what an earlier start has finished is kept."""
    summaries = []
    for seed in seeds:
        directory = folder / f"{name}-seed-{seed}"
        if not (directory / FILE_NAME).exists():
            shutil.rmtree(directory, ignore_errors=True)
            where = [f"--seed_everything={seed}", f"--run.directory={directory}", "--trainer.enable_progress_bar=false"]
            with quietly():
                fit([*options, *where])
        summaries.append(json.loads((directory / FILE_NAME).read_text(encoding="utf-8")))
        step()
    values = [math.nan if summary["best"] is None else summary["best"] for summary in summaries]
    return Contender(values, [summary["test/acc"] for summary in summaries])
