"""The results as a page of the site."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from programs import PROGRAMS, Program
from results import Results, Spread
from targets import TARGETS, Target

NOT_SHOWN = {"device", "versions", "history", "num_images"}
HEAD = """\
# Benchmarks

This page is written by `make bench`: every number on it comes from one run of it, on one machine. The programs run
one after the other, each in a process of its own, and the whole round is repeated, so that what else the machine does
falls on all of them alike. Numbers are medians (lowest to highest).
"""
HOW = """\
## How to read it

- **Tutorial**: time leaves out its tests after each epoch; its whole process has them in it. **Ours until 97.8 %**:
  leaves out the tests as well, and has in it reading the data, validation and checkpoints. **Ours, `fit`**: the recipe
  to its last epoch, validation and checkpoints included; the whole process adds start-up, the test of the best
  checkpoint and the summary.
- **Epoch**: the training part of an epoch, without validation; median over the epochs of a run. For the tutorial and
  for Keras, the mean. The bare loop has the recipe's network, images, batch size, epochs and schedule in one tensor.
- **Images a second**: loader only. ImageFolder decodes, augments and normalises; ours decodes in the first epoch, and
  normalises in the model. What it would deliver with the normalisation is a figure of its own.
- **Evaluation**: `Trainer.test` and `Trainer.validate` as a whole, their loop over batches alone, and the forward pass
  over the same images.
- **Streaming**: loader only, photographs packed decoded, on a disk, no workers; the same images from the memory-mapped
  cache in turns with it. Its memory is that of the process, at every tenth of an epoch.
- **Two processes**: each with one thread and the recipe's batch. "Apart" is two trainings of one process at the same
  time, which exchange nothing: the most that two processes could do on this machine.
- Every program has torch's own number of threads, where nothing else is said. Keras runs on the CPU in an environment
  of its own. The ratio of two programs on different devices is not formed.
"""


def render(results: Results, figure: str) -> str:
    """Markdown, in which ``figure`` is the link to the picture."""
    parts = [
        HEAD,
        "## Machine\n\n" + machine_table(results),
        "## Promises\n\n" + target_table(results),
        f"## Time against accuracy\n\n![Test accuracy against training time]({figure})\n",
        "## Measured\n\n" + measured_table(results),
        HOW,
    ]
    return "\n".join(parts)


def table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(heading)
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def machine_table(results: Results) -> str:
    machine = results.machine
    repeats = sorted({record.repeat for record in results.records})
    minutes = sum(record.figures.get("process_seconds", 0.0) for record in results.records) / 60
    facts = {
        "processor": f"{machine['processor']}, {machine['cores']} cores, {machine['torch_threads']} torch threads",
        "GPU": machine["gpu"] or "none",
        "load before": f"{machine['load_before']}",
        "versions": ", ".join(f"{name} {number}" for name, number in all_versions(results).items()),
        "repeats": f"{len(repeats)}, with seeds {', '.join(map(str, repeats))}",
        "measuring took": f"{minutes:.0f} minutes",
    }
    return table(["what", "value"], facts.items())


def all_versions(results: Results) -> dict[str, str]:
    """Versions of the project's environment, and those that a program of another one reports."""
    reported: dict[str, str] = dict(results.machine["versions"])
    for record in results.records:
        reported |= record.figures.get("versions", {})
    return reported


def target_table(results: Results) -> str:
    rows = ([f"{t.number}", t.claim, f"{t.kind} {bound(t)}", *verdict(t, t.value(results))] for t in TARGETS)
    return table(["", "what", "promised", "measured", "kept"], rows)


def bound(target: Target) -> str:
    if target.other is None:
        return f"{float(target.bound):.1%}"
    return str(target.bound) if target.bound.numerator == 1 else f"{float(target.bound):g}"


def verdict(target: Target, value: float | None) -> tuple[str, str]:
    if value is None:
        return "not measured", ""
    shown = f"{value:.2%}" if target.other is None else ratio(value)
    return shown, "yes" if target.reached(value) else "**no**"


def ratio(value: float) -> str:
    return f"{value:.2f} (1/{1 / value:.1f})" if value < 0.8 else f"{value:.2f}"


def measured_table(results: Results) -> str:
    rows = [row for program in PROGRAMS for row in program_rows(results, program)]
    return table(["program", "device", "figure", "median (lowest to highest)", "trials"], rows)


def program_rows(results: Results, program: Program) -> list[list[str]]:
    records = results.of(program.name)
    if not records:
        return [[program.title, "", "", "not measured", ""]]
    unusual = next((record for record in records if record.skipped or record.failed), None)
    if unusual:
        why = f"skipped: {unusual.skipped}" if unusual.skipped else "failed: see the raw results"
        return [[program.title, "", "", why, ""]]
    figures: Mapping[str, Any] = records[0].figures
    names = [name for name in figures if name not in NOT_SHOWN]
    spreads = [(name, results.spread(program.name, name)) for name in names]
    device = results.device(program.name) or ""
    return [[program.title, device, *shown(name, spread, len(records))] for name, spread in spreads]


def shown(name: str, spread: Spread | None, num_trials: int) -> tuple[str, str, str]:
    label = name.replace("_", " ")
    if spread is None:
        return label, "not reached", str(num_trials)
    values = [number(name, value) for value in (spread.median, spread.low, spread.high)]
    return label, f"{values[0]} ({values[1]} to {values[2]})", str(spread.num_trials)


def number(name: str, value: float) -> str:
    """Three digits, or as many as the figure's unit asks for."""
    if name == "test_accuracy":
        return f"{value:.2%}"
    if name.endswith("images_per_second") or name == "num_epochs":
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
