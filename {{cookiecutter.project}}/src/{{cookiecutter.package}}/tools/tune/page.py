"""The page of a search: its result, its trials, and a diagram of each parameter."""

from collections.abc import Iterable
from pathlib import Path
from statistics import mean

import optuna
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from ...facts import mode_of
from ..pages.diagrams import MARK, TRAIN, VAL, as_percent, drawing, plain_numbers
from ..pages.rendering import write_page
from .comparison import Comparison
from .study import SHIPPED, best_trial, completed, concluded, shipped_trial
from .sweep import Sweep, text_of

MIN_TRIALS_DRAWN = 5  # completed trials; a diagram of fewer shows nothing
MIN_TRIALS_RANKED = 20  # completed trials; with fewer, the importances are mostly chance


def write_search(
    file: Path, study: optuna.Study, sweep: Sweep, statement: str, recipe: str, comparison: Comparison | None
) -> None:
    """Write the page, which needs no other file and no network."""
    sign = 1 if mode_of(sweep.metric) == "min" else -1
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]  # in the order of the table
    write_page(
        file,
        __package__,
        filters={"mean": mean, "note": note, "shown_value": shown_value, "text_of": text_of},
        sweep=sweep,
        statement=statement,
        comparison=comparison,
        recipe=recipe,
        names={name: short(name, sweep.space) for name in sweep.space},
        trials=sorted(concluded(study), key=lambda trial: (states.index(trial.state), sign * (trial.value or 0.0))),
        best=best_trial(study),
        num_completed=len(completed(study)),
        plots=draw_parameters(study, sweep),
        importances=importances(study),
        min_drawn=MIN_TRIALS_DRAWN,
        min_ranked=MIN_TRIALS_RANKED,
    )


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


def draw_parameters(study: optuna.Study, sweep: Sweep) -> dict[str, str]:
    """One SVG per parameter: the metric of each completed trial against the parameter; empty with too few trials.

    Optuna's own plots (5.0) have colours and backgrounds that are not legible on a dark page, write powers of ten as
    TeX, and do not mark the best and the shipped recipe.
    """
    trials = completed(study)
    if len(trials) < MIN_TRIALS_DRAWN:
        return {}
    best, shipped = study.best_trial, shipped_trial(study)
    is_same = shipped is not None and shipped.number == best.number
    marked = [(best, VAL, "D", "best and shipped recipe" if is_same else "best")]
    if shipped is not None and not is_same:
        marked.append((shipped, TRAIN, "s", "shipped recipe"))
    values = [trial.value or 0.0 for trial in trials]
    plots = {}
    for name, distribution in sweep.space.items():
        with drawing("metric of each trial against a parameter", "", sweep.metric) as plot:
            axes = plot.axes
            places = [distribution.to_internal_repr(trial.params[name]) for trial in trials]
            axes.scatter(places, values, s=16, color=MARK, zorder=3, linewidths=0, alpha=0.8)
            for trial, colour, shape, label in marked:
                place = distribution.to_internal_repr(trial.params[name])
                axes.scatter(place, trial.value or 0.0, s=40, color=colour, marker=shape, label=label, zorder=4)
            if min(values) > 0 and max(values) > 10 * min(values):
                axes.set_yscale("log")
                plain_numbers(axes.yaxis)
            elif sweep.metric.endswith("acc"):
                as_percent(axes.yaxis)
            scale_parameter(axes, distribution)
        plots[name] = plot.svg
    return plots


def scale_parameter(axes: Axes, distribution: BaseDistribution) -> None:
    if isinstance(distribution, CategoricalDistribution):
        names = [str(choice) for choice in distribution.choices]
        is_long = sum(map(len, names)) > 30  # longer labels would overlap
        axes.set_xticks(range(len(names)), names, rotation=20 if is_long else 0, ha="right" if is_long else "center")
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif isinstance(distribution, FloatDistribution) and distribution.log:
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=isinstance(distribution, IntDistribution)))


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of the metric's variance that each parameter explains, highest first; empty with too few trials."""
    if len(completed(study)) < MIN_TRIALS_RANKED:
        return {}
    try:
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    except RuntimeError:  # raised if no tree of the random forest has a split: the metrics do not differ
        return {}
