"""The picture of time against accuracy."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from results import Results

matplotlib.use("agg")
from matplotlib import pyplot as plt

# Program, label, colour; ours in blues, so that colour says whose it is.
PANELS = {
    "MNIST": (
        ("tutorial", "PyTorch tutorial loop", "tab:orange"),
        ("keras_mlp", "Keras tutorial MLP", "tab:red"),
        ("keras_cnn", "Keras tutorial CNN", "tab:brown"),
        ("ours_mlp_curve", "mnist_mlp, epoch by epoch", "tab:cyan"),
        ("ours_mlp", "mnist_mlp", "tab:blue"),
        ("ours_cnn", "mnist_cnn", "navy"),
    ),
    "Fashion-MNIST": (
        ("keras_fashion", "Keras tutorial CNN", "tab:brown"),
        ("ours_fashion", "fashion_cnn", "navy"),
    ),
}


def draw(results: Results, file: Path) -> None:
    """Write a PNG: a point a run, a line where a program tested after each epoch."""
    figure, panels = plt.subplots(1, len(PANELS), figsize=(11, 4.5), layout="constrained")
    for axes, (title, programs) in zip(panels, PANELS.items(), strict=True):
        for program, label, colour in programs:
            draw_program(axes, results, program, label, colour)
        axes.set(title=title, xlabel="seconds of training", ylabel="test accuracy in %")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend(fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    plt.close(figure)


def draw_program(axes: Axes, results: Results, program: str, label: str, colour: str) -> None:
    for record in results.of(program):
        curve = record.figures.get("history") or [points(record.figures)]
        curve = [(seconds, 100 * accuracy) for seconds, accuracy in curve if math.isfinite(seconds)]
        if curve:
            seconds, accuracies = zip(*curve, strict=True)
            axes.plot(seconds, accuracies, color=colour, marker="o", markersize=4, linewidth=1, label=label)
            label = "_repeat"  # one line of the legend a program


def points(figures: object) -> tuple[float, float]:
    values = figures if isinstance(figures, dict) else {}
    return values.get("fit_seconds", math.nan), values.get("test_accuracy", math.nan)
