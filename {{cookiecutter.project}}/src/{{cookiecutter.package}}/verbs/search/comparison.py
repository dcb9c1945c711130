"""Compares the best recipe with the shipped recipe; both are trained again with other seeds."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from ...evaluation.summary import FILE_NAME
from ...models.monitor import MODES, Monitor
from ...training.divergence import DivergedError
from ..fit import fit
from .trial import quietly

NUM_SEEDS = 3
DIVERGED: dict[str, Any] = {"best": None, "test/acc": math.nan}

Verdict = Literal["better", "worse", "no clear difference"]


@dataclass(frozen=True)
class Contender:
    """A recipe, trained with several seeds.

    Attributes:
        values: validation metric of the best epoch of each training.
        accuracies: test accuracy of the same weights.
    """

    values: list[float]
    accuracies: list[float]


@dataclass(frozen=True)
class Comparison:
    """Comparison of the best recipe of a search with the shipped recipe."""

    metric: Monitor
    seeds: list[int]
    best: Contender
    shipped: Contender

    @property
    def verdict(self) -> Verdict:
        """The verdict; "better" and "worse" require that all runs of one recipe beat all runs of the other.

        If the recipes are equally good, this happens by chance in 1 of 20 cases, because six runs have 20 possible
        orders (Mann and Whitney, 1947). The best recipe was selected on the validation images, so its validation metric
        is optimistic. "better" therefore also requires that its runs win on the test images.
        """
        if self.wins_on_validation and min(self.best.accuracies) > max(self.shipped.accuracies):
            return "better"
        best, shipped = self.goodness
        return "worse" if max(best) < min(shipped) else "no clear difference"

    @property
    def wins_on_validation(self) -> bool:
        best, shipped = self.goodness
        return min(best) > max(shipped)

    @property
    def goodness(self) -> tuple[list[float], list[float]]:
        """Validation metrics of both recipes, where higher is better; minus infinity if a metric is not finite."""
        sign = 1 if MODES[self.metric] == "max" else -1
        best, shipped = (
            [sign * value if math.isfinite(value) else -math.inf for value in side.values]
            for side in (self.best, self.shipped)
        )
        return best, shipped

    @property
    def statement(self) -> str:
        """The verdict with its measurements."""
        all_three = "all three of its runs {} all three runs of the shipped recipe"
        reason = {
            "better": all_three.format("beat") + ", on the validation images and on the test images",
            "worse": all_three.format("lose to") + " on the validation images",
            "no clear difference": all_three.format("beat")
            + " on the validation images, on which it was selected, but not on the test images"
            if self.wins_on_validation
            else "the results of the two recipes overlap",
        }[self.verdict]
        best, shipped = spread(self.best.values), spread(self.shipped.values)
        accuracies = f"{percent(self.best.accuracies)} against {percent(self.shipped.accuracies)}"
        seeds = ", ".join(map(str, self.seeds))
        return (
            f"{self.verdict.capitalize()}: trained again with seeds {seeds}, {reason}. {self.metric}: {best} against "
            f"{shipped}. Test accuracy: {accuracies}."
        )


def spread(values: Sequence[float]) -> str:
    """Mean, lowest and highest."""
    return f"{mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def percent(shares: Sequence[float]) -> str:
    return f"{100 * mean(shares):.1f} % ({100 * min(shares):.1f} to {100 * max(shares):.1f})"


def train_contender(
    name: str, options: Sequence[str], seeds: Sequence[int], folder: Path, step: Callable[[], None]
) -> Contender:
    """Train and test with each seed, in ``folder/name-seed-S``; runs that are already finished are not repeated.

    A training that diverges has the worst possible result.
    """
    summaries = []
    for seed in seeds:
        directory = folder / f"{name}-seed-{seed}"
        if not (directory / FILE_NAME).exists():
            shutil.rmtree(directory, ignore_errors=True)
            where = [f"--seed_everything={seed}", f"--run.directory={directory}", "--trainer.enable_progress_bar=false"]
            with quietly(), suppress(DivergedError):
                fit([*options, *where])
        file = directory / FILE_NAME
        summaries.append(json.loads(file.read_text(encoding="utf-8")) if file.exists() else DIVERGED)
        step()
    values = [math.nan if summary["best"] is None else summary["best"] for summary in summaries]
    return Contender(values, [summary["test/acc"] for summary in summaries])
