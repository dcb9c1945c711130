"""``tune.html``: what a search found, on a page of one file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ...models.monitor import MODES
from .parameters import shown
from .plots import IMPORTANCE, PARALLEL
from .study import PROBLEM, SHIPPED, concluded
from .sweep_file import Sweep

FILE_NAME = "tune.html"
TITLES = {
    PARALLEL: "What the good trials have in common: a line for each that trained to its end, the darker the better",
    IMPORTANCE: "Which parameters matter",
}


def write_page(
    file: Path, study: optuna.Study, sweep: Sweep, statement: str, recipe: Path, plots: Sequence[Path]
) -> None:
    """The page needs no other file and no network."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader(__package__, "."), autoescape=True, trim_blocks=True)
    page = environment.get_template("page.html").render(
        name=sweep.name,
        sweep=sweep.file,
        metric=sweep.metric,
        date=datetime.now().strftime("%Y-%m-%d %H:%M"),
        num_trials=len(concluded(study)),
        statement=statement,
        recipe=recipe.read_text(encoding="utf-8") if recipe.exists() else "",
        images=[(TITLES[plot.name], data_url(plot)) for plot in plots],
        names=list(sweep.space),
        trials=[describe(trial, sweep, best=rank == 0) for rank, trial in enumerate(best_first(study, sweep))],
    )
    file.write_text(page, encoding="utf-8")


def best_first(study: optuna.Study, sweep: Sweep) -> list[FrozenTrial]:
    """Trials that trained to the end by their metric, then those that were stopped, then those that failed."""
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
        "seconds": "" if trial.duration is None else f"{trial.duration.total_seconds():.0f}",
        "params": [shown(trial.params.get(name, "")) for name in sweep.space],
        "kind": " ".join(kind for kind, holds in kinds.items() if holds),
        "note": note(trial),
    }


def shown_value(trial: FrozenTrial) -> str:
    return "" if trial.value is None else f"{trial.value:.4f}"


def note(trial: FrozenTrial) -> str:
    """What there is to say of a trial beside its numbers."""
    if trial.state == TrialState.FAIL:
        return f"failed: {trial.user_attrs[PROBLEM]}"
    if trial.state == TrialState.PRUNED:
        return "stopped early"
    return "the recipe as shipped" if SHIPPED in trial.user_attrs else ""


def data_url(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
