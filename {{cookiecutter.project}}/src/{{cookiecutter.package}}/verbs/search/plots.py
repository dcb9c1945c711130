"""Two pictures of a study: which values the good trials have, and which parameters matter.

Optuna's own are of the same things; theirs run labels over lines, and show neither the best nor the shipped recipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from ...models.monitor import MODES
from .study import SHIPPED, completed
from .sweep_file import Sweep

PARALLEL, IMPORTANCE = "parallel.png", "importance.png"
DPI = 150
BEST_COLOUR, SHIPPED_COLOUR, BAR_COLOUR = "#c2185b", "#ef6c00", "#3949ab"
MIN_TRIALS = 5  # that trained to the end: fewer say nothing of a parameter

# An axis: positions of the trials on it, from 0 to 1, and ticks by position.
Axis = tuple[list[float], dict[float, str]]
Scale = Callable[[float], float]


def draw_plots(study: optuna.Study, sweep: Sweep, folder: Path) -> list[Path]:
    """Write the pictures for which there are trials enough.

    Returns:
        the files written.
    """
    trials = completed(study)
    if len(trials) < MIN_TRIALS:
        return []
    draw_parallel(trials, sweep).savefig(folder / PARALLEL, dpi=DPI)
    try:
        importances = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    except RuntimeError:  # no tree of its forest finds a difference between the trials
        return [folder / PARALLEL]
    draw_importances(importances, sweep.metric).savefig(folder / IMPORTANCE, dpi=DPI)
    return [folder / PARALLEL, folder / IMPORTANCE]


def draw_parallel(trials: Sequence[FrozenTrial], sweep: Sweep) -> Figure:
    """A line for each trial over an axis for each parameter; dark ones are good."""
    best_last = sorted(trials, key=lambda trial: float(trial.value or 0.0), reverse=MODES[sweep.metric] == "min")
    axes: dict[str, Axis] = {sweep.metric: metric_axis([float(trial.value or 0.0) for trial in best_last])}
    for name, distribution in sweep.space.items():
        axes[name] = parameter_axis(distribution, [trial.params[name] for trial in best_last])
    figure = Figure(figsize=(2 + 1.7 * len(axes), 4.8), layout="constrained")
    canvas = figure.subplots()
    for place, (_, ticks) in enumerate(axes.values()):
        draw_axis(canvas, place, ticks)
    rows = list(zip(*(positions for positions, _ in axes.values()), strict=True))
    for rank, (trial, row) in enumerate(zip(best_last, rows, strict=True)):
        canvas.plot(range(len(row)), row, **line_style(trial, rank, len(rows)))
    names = [f"{'' if place % 2 == 0 else chr(10)}{name}" for place, name in enumerate(axes)]  # neighbours may touch
    canvas.set_xticks(range(len(axes)), names)
    canvas.set_yticks([])
    canvas.set_xlim(-0.1, len(axes) - 0.5)
    canvas.spines[:].set_visible(False)
    canvas.tick_params(length=0)
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    return figure


def line_style(trial: FrozenTrial, rank: int, num_trials: int) -> dict[str, Any]:
    """Of a trial with that rank, counted from the worst."""
    is_best, is_shipped = rank == num_trials - 1, SHIPPED in trial.user_attrs
    if not is_best and not is_shipped:
        return {"color": colormaps["Blues"](0.2 + 0.7 * rank / num_trials), "linewidth": 1.2}
    names = [f"best, trial {trial.number}"] * is_best + ["shipped recipe"] * is_shipped
    colour = BEST_COLOUR if is_best else SHIPPED_COLOUR
    return {"color": colour, "linewidth": 2.4, "label": " = ".join(names), "zorder": 3}


def draw_axis(canvas: Axes, place: int, ticks: Mapping[float, str]) -> None:
    canvas.axvline(place, color="#90a4ae", linewidth=1, zorder=0)
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    for position, text in ticks.items():
        canvas.plot([place, place + 0.03], [position] * 2, color="#90a4ae", linewidth=1, zorder=4)
        canvas.text(place + 0.05, position, text, va="center", fontsize=8, zorder=4, bbox=box, parse_math=False)


def metric_axis(values: Sequence[float]) -> Axis:
    """Logarithmic where the worst trial is ten times the best, so that one bad trial does not hide the others."""
    low, high = min(values), max(values)
    scale: Scale = math.log if low > 0 and high > 10 * low else float
    return scaled(values, scale(low), scale(high), scale, digits=3)


def parameter_axis(distribution: BaseDistribution, values: Sequence[Any]) -> Axis:
    if isinstance(distribution, CategoricalDistribution):
        places = {
            choice: number / max(1, len(distribution.choices) - 1) for number, choice in enumerate(distribution.choices)
        }
        return [places[value] for value in values], {place: str(choice) for choice, place in places.items()}
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    scale: Scale = math.log if distribution.log else float
    return scaled(values, scale(distribution.low), scale(distribution.high), scale, digits=2)


def scaled(values: Sequence[float], low: float, high: float, scale: Scale, digits: int) -> Axis:
    """Positions between two bounds, and five ticks; in the middle where the bounds are one."""
    unscale: Scale = math.exp if scale is math.log else float
    if low == high:
        return [0.5] * len(values), {0.5: label(unscale(low), digits)}
    ticks = {step / 4: label(unscale(low + (high - low) * step / 4), digits) for step in range(5)}
    return [(scale(value) - low) / (high - low) for value in values], ticks


def label(value: float, digits: int) -> str:
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def draw_importances(importances: Mapping[str, float], metric: str) -> Figure:
    """Shares of the variance of the metric, by fANOVA (Hutter et al., 2014)."""
    names = list(importances)[::-1]
    shares = [importances[name] for name in names]
    figure = Figure(figsize=(7, 1 + 0.45 * len(names)), layout="constrained")
    canvas = figure.subplots()
    bars = canvas.barh(names, shares, color=BAR_COLOUR, height=0.6)
    canvas.bar_label(bars, [f"{share:.0%}" for share in shares], padding=4)
    canvas.set_xlabel(f"share of the variance of {metric} over the trials")
    canvas.set_xlim(0, 1.12 * max(shares))
    canvas.set_xticks([])
    canvas.spines[["top", "right", "bottom"]].set_visible(False)
    return figure
