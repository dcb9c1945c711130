"""Writes ``tune.html``, the result of a search, as one HTML file."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ...models.monitor import MODES
from ...pages.rendering import duration, render
from .comparison import Comparison
from .parameters import shown
from .study import PROBLEM, SHIPPED, completed, concluded
from .sweep_file import Sweep

FILE_NAME = "tune.html"


def write_page(
    file: Path, study: optuna.Study, sweep: Sweep, statement: str, recipe: Path, comparison: Comparison | None
) -> None:
    """Write the page, which needs no other file and no network."""
    from . import plots  # imports matplotlib, which is slow and not needed to report errors in the sweep file

    page = render(
        __package__,
        filters={"mean": mean},
        name=sweep.name,
        sweep=sweep.file,
        metric=sweep.metric,
        date=datetime.now().strftime("%Y-%m-%d %H:%M"),
        num_trials=len(concluded(study)),
        num_completed=len(completed(study)),
        statement=statement,
        comparison=comparison,
        recipe=recipe.read_text(encoding="utf-8") if recipe.exists() else "",
        plots={short(name, sweep.space): svg for name, svg in plots.draw_parameters(study, sweep).items()},
        importances={short(name, sweep.space): share for name, share in plots.importances(study).items()},
        min_drawn=plots.MIN_TRIALS_DRAWN,
        min_ranked=plots.MIN_TRIALS_RANKED,
        names=[short(name, sweep.space) for name in sweep.space],
        trials=[describe(trial, sweep, best=rank == 0) for rank, trial in enumerate(best_first(study, sweep))],
    )
    file.write_text(page, encoding="utf-8")


def best_first(study: optuna.Study, sweep: Sweep) -> list[FrozenTrial]:
    """Completed trials, sorted by their metric, then trials that were stopped early, then failed trials."""
    sign = 1 if MODES[sweep.metric] == "min" else -1
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    return sorted(concluded(study), key=lambda trial: (states.index(trial.state), sign * (trial.value or 0.0)))


def describe(trial: FrozenTrial, sweep: Sweep, *, best: bool) -> dict[str, Any]:
    finished = trial.state == TrialState.COMPLETE
    kinds = {"best": best and finished, "shipped": SHIPPED in trial.user_attrs, "unfinished": not finished}
    return {
        "number": trial.number,
        "value": shown_value(trial),
        "epochs": len(trial.intermediate_values),
        "duration": "" if trial.duration is None else duration(trial.duration.total_seconds()),
        "params": [shown(trial.params.get(name, "")) for name in sweep.space],
        "kind": " ".join(kind for kind, holds in kinds.items() if holds),
        "note": ", ".join([*["best"] * (best and finished), *[note(trial)] * bool(note(trial))]),
        "problem": trial.user_attrs.get(PROBLEM, ""),
    }


def shown_value(trial: FrozenTrial) -> str:
    return "" if trial.value is None else f"{trial.value:.4f}"


def note(trial: FrozenTrial) -> str:
    """A remark on a trial, to show beside its numbers."""
    remarks = {TrialState.FAIL: "failed", TrialState.PRUNED: "stopped early"}
    return remarks.get(trial.state, "shipped recipe" if SHIPPED in trial.user_attrs else "")


def short(name: str, names: Iterable[str]) -> str:
    """The last part of a name, such as ``lr`` for ``model.optimizer.lr``, if no other name ends with it."""
    end = name.rpartition(".")[2]
    return name if sum(other.rpartition(".")[2] == end for other in names) > 1 else end
