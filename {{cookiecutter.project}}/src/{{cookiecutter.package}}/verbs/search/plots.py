"""Draws a diagram for each searched parameter and computes the importance of each parameter."""

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

MIN_TRIALS_DRAWN = 5  # completed trials; a diagram of fewer shows nothing
MIN_TRIALS_RANKED = 20  # completed trials; with fewer, the importances are mostly chance
LOG_RATIO = 10  # highest to lowest value of the metric; above it, the axis is logarithmic
MAX_LETTERS = 30  # total length of the choices of a parameter; longer labels are rotated


def draw_parameters(study: optuna.Study, sweep: Sweep) -> dict[str, str]:
    """One SVG per parameter: the metric of each completed trial against the parameter; empty with too few trials."""
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
    """Position of a value on the axis; the position of a choice is its index."""
    if isinstance(distribution, CategoricalDistribution):
        return float(distribution.choices.index(value))
    return float(value)  # type: ignore[arg-type]


def scale_metric(axes: Axes, values: Sequence[float], metric: str) -> None:
    """Use a logarithmic axis if the values differ so much that most points would overlap on a linear axis."""
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
    """Share of the metric's variance that each parameter explains, by fANOVA (Hutter et al., 2014), highest first.

    Empty with too few trials, or if the metrics of the trials do not differ.
    """
    if len(completed(study)) < MIN_TRIALS_RANKED:
        return {}
    try:
        return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    except RuntimeError:  # raised if no tree of the random forest has a split
        return {}
