"""Trains the best and the shipped recipe again, with seeds that no trial used, and decides whether one is better."""

import math
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import mean

from rich.progress import Progress

from ...engine.record import SUMMARY, RunRecord
from ...engine.stopping import DivergedError
from ...facts import mode_of
from ...fit import fit
from .study import SHIPPED, Search, best_trial, quietly, shipped_trial

NUM_SEEDS = 3
ALL_RUNS = "all three of its runs"
SHIPPED_RUNS = "all three runs of the shipped recipe"


@dataclass(frozen=True)
class Contender:
    values: list[float]  # validation metric of the best epoch of each training
    accuracies: list[float]  # test accuracy of the same weights


@dataclass(frozen=True)
class Comparison:
    """Comparison of the best recipe of a search with the shipped recipe."""

    metric: str
    seeds: list[int]
    best: Contender
    shipped: Contender

    @property
    def verdict(self) -> tuple[str, str]:
        """The verdict (better, worse, no clear difference) and its reason.

        "Better" and "worse" require that all runs of one recipe beat all runs of the other. If the recipes are equally
        good, this happens by chance in 1 of 20 cases, because six runs have 20 possible orders (Mann and Whitney,
        1947). The best recipe was selected on the validation images, so its validation metric is optimistic. "Better"
        therefore also requires that its runs win on the test images.
        """
        sign = 1 if mode_of(self.metric) == "max" else -1
        best, shipped = finite(self.best.values, sign), finite(self.shipped.values, sign)
        if max(best) < min(shipped):
            return "worse", f"{ALL_RUNS} lose to {SHIPPED_RUNS} on the validation images"
        if min(best) <= max(shipped):
            return "no clear difference", "the results of the two recipes overlap"
        if min(finite(self.best.accuracies)) > max(finite(self.shipped.accuracies)):
            return "better", f"{ALL_RUNS} beat {SHIPPED_RUNS}, on the validation images and on the test images"
        reason = "on the validation images, on which it was selected, but not on the test images"
        return "no clear difference", f"{ALL_RUNS} beat {SHIPPED_RUNS} {reason}"

    @property
    def statement(self) -> str:
        """The verdict with its measurements."""
        verdict, reason = self.verdict
        values = " against ".join(spread(side.values, ".4f") for side in (self.best, self.shipped))
        shares = [[100 * share for share in side.accuracies] for side in (self.best, self.shipped)]
        accuracies = " against ".join(spread(percents, ".1f", " %") for percents in shares)
        return (
            f"{verdict.capitalize()}: trained again with seeds {', '.join(map(str, self.seeds))}, {reason}. "
            f"{self.metric}: {values}. Test accuracy: {accuracies}."
        )


def finite(values: Sequence[float], sign: int = 1) -> list[float]:
    """Values of which higher is better; a value that is not finite becomes minus infinity."""
    return [sign * value if math.isfinite(value) else -math.inf for value in values]


def spread(values: Sequence[float], form: str, unit: str = "") -> str:
    """Mean, lowest and highest."""
    return f"{mean(values):{form}}{unit} ({min(values):{form}} to {max(values):{form}})"


def compare_recipes(search: Search, progress: Progress) -> Comparison | None:
    """Train and test the best and the shipped recipe, except for finished runs; None if there are not two recipes."""
    best, shipped = best_trial(search.study), shipped_trial(search.study)
    if best is None or shipped is None or SHIPPED in best.user_attrs:
        return None
    seeds = [search.seeds[-1] + 1 + number for number in range(NUM_SEEDS)]
    contenders = {f"trial-{best.number:04}": best, "shipped": shipped}
    runs = [(name, trial, seed) for seed in seeds for name, trial in contenders.items()]
    summaries = []
    for name, trial, seed in progress.track(runs, description="training best and shipped again"):
        directory = search.folder / "comparison" / f"{name}-seed-{seed}"
        file = directory / SUMMARY
        if not file.exists():
            shutil.rmtree(directory, ignore_errors=True)
            with quietly(), suppress(DivergedError):
                fit(search.options_of(trial, seed, directory), search.companions)
        summaries.append(RunRecord(directory, {}).summary)
    # A training that diverged has no metric, which is worse than any other.
    values = [math.nan if summary.get("best") is None else summary["best"] for summary in summaries]
    accuracies = [summary.get("test/acc", math.nan) for summary in summaries]
    found, kept = (Contender(values[first::2], accuracies[first::2]) for first in (0, 1))
    return Comparison(search.sweep.metric, seeds, found, kept)
