"""What the lessons share: train through the command line, and show a figure.

Nothing in the project imports this folder. To remove the lessons, delete ``lessons/`` and ``tests/lessons/``, and take
``lessons`` out of two lists in pyproject.toml.
"""

from __future__ import annotations

import builtins
import math
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from {{cookiecutter.package}}.cli import companions, main
from {{cookiecutter.package}}.engine.record import RunRecord, read_run
from {{cookiecutter.package}}.engine.run_directory import CONFIG, read_status
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.files import require_folder

PROJECT = Path(__file__).resolve().parents[1]
RUNS = PROJECT / "runs" / "lessons"

try:
    require_folder(RUNS, "the folder of the lessons' runs")
except UserError as error:
    sys.exit(f"error: {error}")

torch.set_num_threads(1)  # networks as small as those of the lessons are slower with several threads
plt.style.use("seaborn-v0_8-colorblind")
plt.rcParams.update({"axes.grid": True, "figure.dpi": 120, "grid.alpha": 0.4})


@dataclass(frozen=True)
class Result:
    """What a training has written."""

    directory: Path
    summary: dict[str, Any]
    """``summary.json``; empty if the training diverged."""
    curves: dict[str, list[float]]
    """The columns of ``metrics.csv``, one value per epoch; NaN where nothing was measured."""
    diagnosis: list[str]
    """The diagnosis as the report has it: each finding begins with its name; ``["fine"]`` if there is none."""

    @property
    def test_accuracy(self) -> float:
        """In percent; NaN if the training diverged."""
        return 100 * float(self.summary.get("test/acc", math.nan))


def fit(*options: str, name: str) -> Result:
    """Run ``fit`` with these options, from the project's folder, and write into ``runs/lessons/<name>``.

    It replaces an earlier run of that name, and writes no report: ``report runs/lessons/<name>`` does that later. A
    training that diverges has a result too, without a test. If ``fit`` fails for another reason, the message of the
    RuntimeError is what it printed.
    """
    directory = RUNS / name
    if (directory / CONFIG).is_file():
        shutil.rmtree(directory)
    off = [option for companion in companions() for option in companion.off]  # no report, no W&B
    with chdir(PROJECT), captured() as printed:
        try:
            main(["fit", *options, "--run.directory", str(directory), *off])
        except SystemExit:
            if not has_diverged(directory):
                raise RuntimeError(printed.getvalue().strip()) from None
    record = read_run(directory)
    result = Result(directory, record.summary, columns(record), findings(record))
    tested = f"{result.test_accuracy:.1f} % of the test images" if result.summary else "not tested"
    print(f"{name}: {tested}; {', '.join(text.split(' (')[0] for text in result.diagnosis)}")
    return result


@contextmanager
def captured() -> Iterator[StringIO]:
    """Collect what is printed. In a notebook, rich would show its tables instead, if it found ``get_ipython``."""
    printed, notebook = StringIO(), vars(builtins).pop("get_ipython", None)
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            yield printed
    finally:
        if notebook is not None:
            vars(builtins)["get_ipython"] = notebook


def has_diverged(directory: Path) -> bool:
    return read_status(directory).reason.startswith("diverged")


def columns(record: RunRecord) -> dict[str, list[float]]:
    names = {name: None for epoch in record.epochs for name in epoch}  # in order
    return {name: [epoch.get(name, math.nan) for epoch in record.epochs] for name in names}


def findings(record: RunRecord) -> list[str]:
    from {{cookiecutter.package}}.tools.report.diagnosis import diagnose
    from {{cookiecutter.package}}.tools.report.report import facts_of_training

    diagnosis = diagnose(record.epochs, facts_of_training(record))
    return [f"{found.name} ({found.measured}). {found.meaning}" for found in diagnosis.findings] or [diagnosis.name]


def show(figure: Figure, name: str) -> None:
    """Show a figure in a notebook; in a script, save it as ``runs/lessons/<name>.png`` and print that."""
    figure.set_layout_engine("constrained")
    interactive = sys.modules.get("IPython")
    if interactive is not None and interactive.get_ipython() is not None:
        interactive.display.display(figure)
    else:
        RUNS.mkdir(parents=True, exist_ok=True)
        file = RUNS / f"{name}.png"
        figure.savefig(file, dpi=150)
        print(f"figure: {file.relative_to(PROJECT).as_posix()}")
    plt.close(figure)
