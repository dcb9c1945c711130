"""Finds and reads run directories: config, metrics of the epochs, results and outputs."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from ..data import DATA_MODULES, ImageDataModule
from ..errors import UserError, did_you_mean, some
from .outputs import SplitOutputs, load_outputs

CONFIG, METRICS, SUMMARY, ENVIRONMENT = "config.yaml", "metrics.csv", "summary.json", "environment.json"
STATUS = "status.json"

LAST = "last"  # names the newest run
ROOT = "runs"
TUNE = "tune"  # folder of the trainings of searches; ``last`` ignores it

log = logging.getLogger(__name__)

EpochMetrics = dict[str, float]


@dataclass(frozen=True)
class RunRecord:
    """Record of a training, finished or not.

    Attributes:
        directory: the run directory.
        config: the resolved config.
    """

    directory: Path
    config: dict[str, Any]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Final metrics and facts of the run; empty if it has no test result."""
        return read_json(self.directory / SUMMARY)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Packages, hardware, git commit."""
        return read_json(self.directory / ENVIRONMENT)

    @cached_property
    def epochs(self) -> list[EpochMetrics]:
        """Metrics of each epoch, in order, including ``epoch``."""
        rows = [
            {name: float(value) for name, value in row.items() if value} for row in read_csv(self.directory / METRICS)
        ]
        return [row for row in rows if "train/loss" in row or "val/loss" in row]

    @property
    def class_names(self) -> list[str]:
        """K names, in the order of the labels; empty if the run has no test result."""
        return [result["name"] for result in self.summary.get("test/classes", [])]

    def outputs(self, split: str) -> SplitOutputs | None:
        """Outputs of the best weights for ``val`` or ``test``; None if the run has no test result."""
        return load_outputs(self.directory, split)

    @cached_property
    def data(self) -> ImageDataModule:
        """The data set of the run, created from its config.

        Raises:
            UserError: the data set is not a class of this project, or its files are missing or have changed.
        """
        section = self.config["data"]
        if section["class_path"] not in DATA_MODULES:
            raise UserError(
                f"the run's data set is {section['class_path']!r}, which is not a class of this project. "
                f"{did_you_mean(section['class_path'], DATA_MODULES)}"
            )
        return DATA_MODULES[section["class_path"]](**section.get("init_args", {}))


def read_run(directory: Path) -> RunRecord:
    """Read a run directory.

    Raises:
        UserError: it is not a run directory.
    """
    return RunRecord(directory, read_config(directory))


def read_config(directory: Path) -> dict[str, Any]:
    """The resolved config of a run directory.

    Raises:
        UserError: it is not a run directory.
    """
    file = directory / CONFIG
    if not file.is_file():
        raise UserError(
            f"{str(directory)!r} is not a run directory: it has no {CONFIG}. Give a directory that fit has written."
        )
    config: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return config


def find_runs(folder: Path) -> list[Path]:
    """All run directories in a folder, at any depth, sorted by path.

    Folders of W&B inside runs, which contain a config too, are ignored.
    """
    runs = sorted(file.parent for file in folder.rglob(CONFIG))
    return [run for run in runs if "wandb" not in run.relative_to(folder).parts[1:]]


def find_run(given: Path, option: str, is_wanted: Callable[[Path], bool], wanted: str, root: Path = Path(ROOT)) -> Path:
    """The run directory for the value of an option.

    Args:
        given: a run directory, a folder whose newest run is used, or ``last`` for the newest run of all.
        option: name of the option, for error messages.
        is_wanted: condition on the run if it is not given directly.
        wanted: this condition as text, such as ``has a test result``.
        root: folder that is searched for ``last``.

    Raises:
        UserError: there is no such run.
    """
    if (given / CONFIG).is_file():
        return given
    is_last = given == Path(LAST) and not given.exists()
    folder = root if is_last else given
    if not is_last and not folder.is_dir():
        raise UserError(f"{option} is {str(given)!r}, but there is no such file or folder. {runs_to_give(root)}")
    runs = [run for run in find_runs(folder) if not (is_last and run.relative_to(folder).parts[0] == TUNE)]
    if not is_last and not runs:
        raise UserError(
            f"{option} is {str(given)!r}, which is not a run directory and does not contain one. {runs_to_give(root)}"
        )
    found = [run for run in runs if is_wanted(run)]
    if not found:
        raise UserError(f"{option} is {str(given)!r}, but no run in {str(folder)!r} {wanted}. {runs_to_give(root)}")
    newest = max(found, key=written)
    log.info("%s %s: %s", option, given, newest)
    return newest


def written(run: Path) -> float:
    """Time at which the training last wrote to the run directory."""
    files = [file for file in (run / STATUS, run / CONFIG) if file.is_file()]
    return files[0].stat().st_mtime


def runs_to_give(root: Path) -> str:
    """End of an error message: which values are allowed, and folders that contain runs."""
    recipes = sorted({str(run.parent) for run in find_runs(root)})
    known = f" Folders with runs: {some(recipes)}." if recipes else ""
    return f"Give a run directory, a folder of runs (its newest is used), or {LAST} for the newest of all runs.{known}"


def read_json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def read_csv(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
