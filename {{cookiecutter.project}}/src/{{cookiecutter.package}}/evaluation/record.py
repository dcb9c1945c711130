"""Reads run directories: config, metrics of the epochs, results and outputs."""

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
TUNE = "tune"  # folder with the trainings of searches, which ``last`` ignores

log = logging.getLogger(__name__)

EpochMetrics = dict[str, float]


@dataclass(frozen=True)
class RunRecord:
    """Record of one training, finished or not.

    Attributes:
        directory: the run directory.
        config: the resolved config.
    """

    directory: Path
    config: dict[str, Any]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Final metrics and facts of the run; empty if it did not reach its test."""
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
        """K names; a name's position is its label. Empty if the run did not reach its test."""
        return [result["name"] for result in self.summary.get("test/classes", [])]

    def outputs(self, split: str) -> SplitOutputs | None:
        """Outputs of the best weights for ``val`` or ``test``; None if the run did not reach its test."""
        return load_outputs(self.directory, split)

    @cached_property
    def data(self) -> ImageDataModule:
        """The data set of the run, for its images.

        Raises:
            UserError: its files are missing or have changed.
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
        raise UserError(f"{str(directory)!r} is no run directory: it has no {CONFIG}. Give one that fit has written.")
    config: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return config


def find_runs(folder: Path) -> list[Path]:
    """All run directories in a folder, at any depth, sorted by name.

    W&B's own folder inside a run, which has a config too, is ignored.
    """
    runs = sorted(file.parent for file in folder.rglob(CONFIG))
    return [run for run in runs if "wandb" not in run.relative_to(folder).parts[1:]]


def find_run(given: Path, option: str, is_wanted: Callable[[Path], bool], wanted: str, root: Path = Path(ROOT)) -> Path:
    """The run directory for an option's value: the value itself, the newest run in a folder, or the newest run of all.

    Args:
        given: a run directory, a folder with runs at any depth, or ``last``.
        option: name of the option, for error messages.
        is_wanted: condition on the runs in a folder.
        wanted: this condition as text, such as ``has a test result``.
        root: folder that ``last`` searches.

    Raises:
        UserError: there is no such run.
    """
    if (given / CONFIG).is_file():
        return given
    is_last = given == Path(LAST) and not given.exists()
    folder = root if is_last else given
    if not is_last and not folder.is_dir():
        raise UserError(f"{option} is {str(given)!r}, and there is no such file or folder. {runs_to_give(root)}")
    runs = [run for run in find_runs(folder) if not (is_last and run.relative_to(folder).parts[0] == TUNE)]
    if not is_last and not runs:
        raise UserError(f"{option} is {str(given)!r}, which is no run directory, and holds none. {runs_to_give(root)}")
    found = [run for run in runs if is_wanted(run)]
    if not found:
        raise UserError(f"{option} is {str(given)!r}, and no run in {str(folder)!r} {wanted}. {runs_to_give(root)}")
    newest = max(found, key=written)
    log.info("%s %s: %s", option, given, newest)
    return newest


def written(run: Path) -> float:
    """Time of the last write of the training into the run directory."""
    files = [file for file in (run / STATUS, run / CONFIG) if file.is_file()]
    return files[0].stat().st_mtime


def runs_to_give(root: Path) -> str:
    """End of an error message: how to specify a run, and folders that contain runs."""
    recipes = sorted({str(run.parent) for run in find_runs(root)})
    known = f" Folders with runs: {some(recipes)}." if recipes else ""
    return f"Give a run directory that fit has written, a folder of runs for its newest, or {LAST}.{known}"


def read_json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def read_csv(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
