"""A comparison as an HTML page of one file, and the cells that the page and the terminal show."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from ...engine.metrics_table import best_epoch
from ...errors import UserError
from ..pages.rendering import duration, thumbnail, two_digits, write_page
from .candidates import MAJORITY, Candidate, Run, open_split
from .comparison import MARK, Comparison, format_p_value

Cell = tuple[str, str]  # one line above the other


def headings(metrics: Sequence[str] = ()) -> list[Cell]:
    return [
        ("run", "model"),
        ("accuracy", "95 % interval"),
        ("macro-F1", ""),
        *((name.removeprefix("test/"), "") for name in metrics),
        ("train time", "predict time"),
        ("parameters", "trained"),
        ("train images", "best epoch"),
    ]


def cells(candidate: Candidate, metrics: Sequence[str] = ()) -> list[Cell]:
    """One cell per heading; a dash if a baseline or an older run has no value."""
    num, summary = len(candidate.is_correct), candidate.summary
    mark = f" {MARK}" if summary.get("notes") else ""
    num_parameters, num_trained = summary.get("num_parameters"), summary.get("num_trainable_parameters")
    best = best_epoch(candidate.record.epochs, summary["monitor"]) if isinstance(candidate, Run) else None
    epoch = f"{int(best['epoch']) + 1} of {summary['num_epochs']}" if best else ""
    return [
        (candidate.name, summary["model"]),
        (percent(candidate.accuracy, num) + mark, interval(*candidate.interval, num)),
        (f"{summary['test/f1']:.3f}", ""),
        *((f"{summary[name]:.4g}" if name in summary else "-", "") for name in metrics),
        (duration(summary["seconds"]), f"{two_digits(summary['milliseconds_per_image'])} ms/image"),
        (short_count(num_trained), f"of {short_count(num_parameters)}" if num_parameters else ""),
        (short_count(summary.get("num_train_images")), epoch),
    ]


def seed_row(group: Sequence[Candidate]) -> tuple[str, str, str, str, str]:
    """Recipe, mean accuracy, lowest to highest, seeds and names of runs that differ only in their seed."""
    accuracies, num = [run.accuracy for run in group], len(group[0].is_correct)
    return (
        group[0].summary["recipe"],
        percent(fmean(accuracies), num),
        interval(min(accuracies), max(accuracies), num),
        ", ".join(str(run.summary["seed"]) for run in group),
        ", ".join(run.name for run in group),
    )


def percent(share: float, num_images: int) -> str:
    """With as many decimals as the number of images supports."""
    return f"{100 * share:.{decimals(num_images)}f} %"


def interval(lower: float, upper: float, num_images: int) -> str:
    return f"{100 * lower:.{decimals(num_images)}f} to {100 * upper:.{decimals(num_images)}f}"


def decimals(num_images: int) -> int:
    return 1 if num_images < 2000 else 2


def short_count(number: int | None) -> str:
    """Abbreviated from a million: -, 812, 19,562, 3.37 M."""
    if number is None:
        return "-"
    return f"{number:,}" if number < 1_000_000 else f"{number / 1e6:,.2f} M"


def write_comparison(file: Path, comparisons: Sequence[Comparison], unfinished: Sequence[Path] = ()) -> None:
    """Write one HTML file, which needs no other file and no network, with a part for each set of test images."""
    write_page(
        file,
        __package__,
        filters={"decimals": decimals, "p_value": format_p_value},
        parts=[describe(comparison) for comparison in comparisons],
        num_runs=sum(len(comparison.runs) for comparison in comparisons),
        unfinished=[str(directory) for directory in unfinished],
    )


def describe(comparison: Comparison) -> dict[str, Any]:
    """What the template shows of one set of test images."""
    is_hidden = is_majority_hidden(comparison.candidates)
    shown = comparison.disagreements[:24]
    pictures, problem = {}, None
    try:
        if shown:
            split = open_split(comparison.best.record, "test")
            wanted = {image["name"] for image in shown}  # some may be missing by now
            for position, name in enumerate(split.names):
                if name in wanted:
                    pictures[name] = thumbnail(split.images[torch.tensor([position])][0])
    except UserError as error:
        problem = str(error)
    return {
        "comparison": comparison,
        "headings": headings(comparison.metrics),
        "rows": [cells(candidate, comparison.metrics) for candidate in comparison.candidates],
        "seed_rows": [seed_row(group) for group in comparison.groups],
        "plots": plots(comparison, is_hidden),
        "is_majority_hidden": is_hidden,
        "pairs": {(test.first.name, test.second.name): test for test in comparison.matrix},
        "shown": shown,
        "pictures": pictures,
        "problem": problem,
    }


def plots(comparison: Comparison, is_hidden: bool) -> dict[str, str]:
    """SVG by caption: accuracy against time and, if the runs differ in it, against the number of training images."""
    ranked = list(enumerate(comparison.candidates, start=1))
    ranked = [(rank, one) for rank, one in ranked if not (is_hidden and one.name == MAJORITY)]
    if len(ranked) == 1:
        return {}
    # A logarithmic axis cannot show 0 seconds.
    times = [(rank, candidate, max(0.001, candidate.summary["seconds"])) for rank, candidate in ranked]
    found = {"training time": plot_accuracy(times, "training time, seconds")}
    if len({run.summary.get("num_train_images") for run in comparison.runs} - {None}) > 1:
        amounts = ((rank, candidate, candidate.summary.get("num_train_images")) for rank, candidate in ranked)
        points = [(rank, candidate, float(amount)) for rank, candidate, amount in amounts if amount]
        found["the number of training images"] = plot_accuracy(points, "training images")
    return found


def is_majority_hidden(candidates: Sequence[Candidate]) -> bool:
    """Whether the majority class would take more than half of a plot's height, and leave too little for the others."""
    majority = [candidate for candidate in candidates if candidate.name == MAJORITY]
    others = [candidate.interval for candidate in candidates if candidate.name != MAJORITY]
    if not majority or not others:
        return False
    lowest, highest = min(low for low, _ in others), max(high for _, high in others)
    return lowest - majority[0].interval[0] > highest - lowest


# Okabe and Ito's colours, which most colour-blind people can tell apart, on white and on black; shapes for print.
STYLES = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v"), ("#56b4e9", "P")]


def plot_accuracy(points: Sequence[tuple[int, Candidate, float]], label: str) -> str:
    """SVG of points (rank, candidate, cost above 0) with 95 % intervals; a colour and shape for each kind of model."""
    from ..pages.diagrams import as_percent, drawing, plain_numbers

    with drawing(f"test accuracy against {label}", label, "test accuracy") as plot:
        axes = plot.axes
        models = list(dict.fromkeys(candidate.summary["model"] for _, candidate, _ in points))
        for model, (colour, marker) in zip(models, STYLES * len(models), strict=False):
            own = [point for point in points if point[1].summary["model"] == model]
            accuracies = [candidate.accuracy for _, candidate, _ in own]
            errors = np.abs(np.array([candidate.interval for _, candidate, _ in own]).T - accuracies)  # below and above
            style: dict[str, Any] = {"fmt": marker, "color": colour, "capsize": 2, "elinewidth": 1, "markersize": 5}
            axes.errorbar([cost for _, _, cost in own], accuracies, yerr=errors, label=model, **style)
            for rank, candidate, cost in own:
                # Above and below in turn, since neighbours in rank are often neighbours in the plot.
                place: dict[str, Any] = {"xytext": (5, 3) if rank % 2 else (5, -9), "textcoords": "offset points"}
                axes.annotate(str(rank), (cost, candidate.accuracy), fontsize=8, **place)
        axes.margins(x=0.08)
        costs = [cost for _, _, cost in points]
        if max(costs) > 10 * min(costs):
            axes.set_xscale("log")
            plain_numbers(axes.xaxis)
        as_percent(axes.yaxis)
    return plot.svg
