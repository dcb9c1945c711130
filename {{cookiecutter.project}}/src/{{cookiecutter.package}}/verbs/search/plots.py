"""A diagram for each searched parameter, and the importance of each of them."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from ...pages.diagrams import MARK, TRAIN, VAL, as_percent, drawing, plain_numbers
from .study import SHIPPED, best_trial, completed
from .sweep_file import Sweep

MIN_TRIALS_DRAWN = 5  # that trained to the end: fewer show nothing
MIN_TRIALS_RANKED = 20  # that trained to the end: with fewer, the importances are mostly chance
LOG_RATIO = 10  # of the highest value of the metric to the lowest, from which on its axis is logarithmic
MAX_LETTERS = 30  # of all choices of a parameter in one line


def draw_parameters(study: optuna.Study, sweep: Sweep) -> dict[str, str]:
    """SVG by parameter: the metric of each completed trial against its value; empty with too few trials."""
    trials = completed(study)
    if len(trials) < MIN_TRIALS_DRAWN:
        return {}
    return {name: draw_parameter(study, sweep, name, trials) for name in sweep.space}


def draw_parameter(study: optuna.Study, sweep: Sweep, name: str, trials: Sequence[FrozenTrial]) -> str:
    distribution = sweep.space[name]
    best = best_trial(study)
    with drawing("metric of each trial against a parameter", "", sweep.metric) as plot:
        for trial in trials:
            is_best, is_shipped = best is not None and trial.number == best.number, SHIPPED in trial.user_attrs
            colour, size = (VAL, 40) if is_best else (TRAIN, 40) if is_shipped else (MARK, 16)
            shape = "D" if is_best else "s" if is_shipped else "o"
            label = " and ".join(["best"] * is_best + ["shipped recipe"] * is_shipped) or None
            place, value = position(distribution, trial.params[name]), float(trial.value or 0.0)
            plot.axes.scatter(
                place, value, s=size, color=colour, marker=shape, label=label, zorder=3, linewidths=0, alpha=0.8
            )
        scale_metric(plot.axes, [float(trial.value or 0.0) for trial in trials], sweep.metric)
        scale_parameter(plot.axes, distribution)
    return plot.svg


def position(distribution: BaseDistribution, value: object) -> float:
    """Of a value on the axis: a choice has its number."""
    if isinstance(distribution, CategoricalDistribution):
        return float(distribution.choices.index(value))
    return float(value)  # type: ignore[arg-type]


def scale_metric(axes: Axes, values: Sequence[float], metric: str) -> None:
    """Logarithmic where one bad trial would press all others together."""
    if min(values) > 0 and max(values) > LOG_RATIO * min(values):
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
    elif metric.endswith("acc"):
        as_percent(axes.yaxis)


def scale_parameter(axes: Axes, distribution: BaseDistribution) -> None:
    if isinstance(distribution, CategoricalDistribution):
        names = [str(choice) for choice in distribution.choices]
        is_long = sum(map(len, names)) > MAX_LETTERS
        axes.set_xticks(range(len(names)), names, rotation=20 if is_long else 0, ha="right" if is_long else "center")
        axes.set_xlim(-0.5, len(names) - 0.5)
        return
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if distribution.log:
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=isinstance(distribution, IntDistribution)))


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of the metric's variance that each parameter explains, by fANOVA (Hutter et al., 2014), the highest first.

    Empty with too few trials, or where the trials do not differ.
    """
    if len(completed(study)) < MIN_TRIALS_RANKED:
        return {}
    try:
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    except RuntimeError:  # no tree of its forest finds a difference between the trials
        return {}
