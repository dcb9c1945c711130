"""The record of a run: writes the environment, the metrics and the results of a run, and reads them again."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from .. import __version__
from ..errors import UserError, program_name, some, without_secrets
from ..facts import mode_of
from ..files import replacing, write_text
from .contracts import DataModule, class_named, count_parameters
from .results import SplitOutputs, SplitResults, limit_notes, load_outputs, save_outputs, write_predictions
from .run_directory import CONFIG, ENVIRONMENT, METRICS, PREDICTIONS, STATUS, SUMMARY
from .seen_images import SeenImages
from .splits import SPLITS

log = logging.getLogger(__name__)

LAST = "last"  # names the newest run
ROOT = "runs"


@rank_zero_only
def write_environment(directory: Path) -> None:
    """Write what is needed to rebuild the environment, and the command of the run; no variables, and no secrets."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    cpus = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    environment = {
        "program": program_name(),
        "command": without_secrets([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "working_directory": str(Path.cwd()),
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        "hardware": {
            "cpu": cpus[0] if cpus else platform.processor() or platform.machine(),
            "num_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "num_threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        },
        "platform": platform.platform(),
        "versions": versions(),
        "packages": packages(),
    }
    write_text(directory / ENVIRONMENT, json.dumps(environment, indent=2, ensure_ascii=False) + "\n")


def packages() -> dict[str, str]:
    """Versions of all packages. To parse all of their metadata, as ``importlib.metadata`` does, takes half a second."""
    texts = [found.read_text("METADATA") or found.read_text("PKG-INFO") or "" for found in distributions()]
    heads = [dict(re.findall(r"^(Name|Version): *(.+)$", text.partition("\n\n")[0], re.MULTILINE)) for text in texts]
    found = [(head["Name"], head["Version"]) for head in heads if len(head) == 2]
    return dict(sorted(dict(reversed(found)).items()))  # of a package that is there twice, the first is imported


def versions() -> dict[str, str]:
    """Versions of Python, this project and the packages that affect results."""
    own = {"python": platform.python_version(), __package__.split(".")[0]: __version__}
    return own | {name: version(name) for name in ("torch", "torchvision", "lightning", "torchmetrics", "numpy")}


def git(*arguments: str) -> str | None:
    """Output of a git command in the working directory; None outside a repository or without git."""
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


Row = dict[str, float]


class MetricsTable(Logger):
    """Writes ``metrics.csv``: all metrics of an epoch in one row, with the number of steps at its end.

    Lightning's CSVLogger writes several rows an epoch, and deletes the file when a training resumes. Learning rates
    are those at the start of the epoch. Test metrics go to ``summary.json``. ``rows`` are those of a resumed training.
    """

    name, version = "", ""  # the folders of Lightning's loggers

    def __init__(self, directory: Path, rows: list[Row]) -> None:
        super().__init__()
        self.file = directory / METRICS
        self.rows = {int(row["epoch"]): dict(row) for row in rows}
        self.learning_rates: Row = {}  # of the current epoch
        if rows:
            self.learning_rates = {name: value for name, value in rows[-1].items() if name.startswith("lr/")}
            self.save()

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Writes nothing: the config is in ``config.yaml``."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {name: float(value) for name, value in metrics.items() if not name.startswith("test/")}
        if "epoch" not in values:  # from Lightning's LearningRateMonitor, before the epoch's first step
            self.learning_rates = values
        elif values.keys() != {"epoch"}:
            epoch = int(values["epoch"])
            self.rows[epoch] = self.row(epoch, self.rows.get(epoch, {}) | values, (step or 0) + 1)
            self.save()

    def row(self, epoch: int, values: Mapping[str, float], step: int) -> Row:
        return {**self.learning_rates, **values, "epoch": epoch, "step": step}

    @rank_zero_only
    def save(self) -> None:
        names = {name for row in self.rows.values() for name in row} - {"epoch", "step"}
        with replacing(self.file) as stream:
            writer = csv.DictWriter(stream, ["epoch", "step", *sorted(names)])
            writer.writeheader()
            writer.writerows(self.rows[epoch] for epoch in sorted(self.rows))


def summary_facts(trainer: Trainer, model: Any, data: DataModule, seen: SeenImages | None) -> dict[str, Any]:
    """Facts of a finished training for ``summary.json``; ``seen`` are the test images that it has used."""
    train, best = data.split("train"), getattr(trainer.checkpoint_callback, "best_model_score", None)
    facts = {
        "model": type(model).__name__,
        "num_epochs": trainer.current_epoch,
        "num_train_images": len(train),
        "train/class_counts": train.labels.bincount(minlength=data.facts.num_classes).tolist(),
        "num_parameters": count_parameters(model),
        "num_trainable_parameters": count_parameters(model, trainable_only=True),
        "monitor": model.monitor,
        "best": None if best is None else best.item(),
        "split_hash": data.split_hash,
        # Restrictions of the results: contaminated test images, partly used splits.
        "notes": [*([seen.sentence] if seen else []), *limit_notes(trainer, data, SPLITS)],
    }
    if seen:
        facts |= {
            "num_test_images_trained_on": seen.num_trained,
            "num_test_images_validated_on": seen.num_validated,
        }
    return facts


def write_results(
    directory: Path, results: SplitResults, facts: dict[str, Any], outputs: dict[str, SplitOutputs]
) -> None:
    """Write predictions and outputs of a run, and ``summary.json``: the results and facts of the run."""
    write_predictions(directory / PREDICTIONS, outputs["test"], [result.name for result in results.classes])
    save_outputs(directory, outputs)
    write_text(directory / SUMMARY, strict_json(facts | results.as_metrics()) + "\n")


def strict_json(value: Any) -> str:
    """Valid JSON: infinite numbers and NaN, which JSON does not have, become null."""
    return json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


EpochMetrics = dict[str, float]


@dataclass(frozen=True)
class RunRecord:
    """Record of a training, finished or not."""

    directory: Path
    config: dict[str, Any]
    data_modules: Mapping[str, type] = field(default_factory=dict)  # the project's, by name, to open the images

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
        if not (self.directory / METRICS).is_file():
            return []
        with (self.directory / METRICS).open(newline="", encoding="utf-8") as stream:
            rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]
        return [row for row in rows if "train/loss" in row or "val/loss" in row]

    @property
    def class_names(self) -> list[str]:
        """K names, in the order of the labels; empty if the run has no test result."""
        return [result["name"] for result in self.summary.get("test/classes", [])]

    def outputs(self, split: str) -> SplitOutputs | None:
        """Outputs of the best weights for ``val`` or ``test``; None if the run has no test result."""
        return load_outputs(self.directory, split)

    @cached_property
    def data(self) -> Any:
        """The data module of the run, created from its config; its class must be one of ``data_modules``."""
        section = self.config["data"]
        build: type[Any] = class_named(section["class_path"], self.data_modules, "the run's data set")
        return build(**section.get("init_args", {}))


def read_run(directory: Path, data_modules: Mapping[str, type] | None = None) -> RunRecord:
    """Read a run directory, or raise a UserError if it is not one."""
    return RunRecord(directory, read_config(directory), data_modules or {})


def read_config(directory: Path) -> dict[str, Any]:
    """The resolved config of a run directory, or a UserError if it is not one."""
    file = directory / CONFIG
    if not file.is_file():
        raise UserError(
            f"{str(directory)!r} is not a run directory: it has no {CONFIG}. Give a directory that fit has written."
        )
    config: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return config


def read_json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def best_epoch(epochs: Sequence[EpochMetrics], monitor: str) -> EpochMetrics | None:
    """The first epoch with the best value of the metric, whose weights are kept; None if it was never measured."""
    sign = 1 if mode_of(monitor) == "min" else -1
    measured = [epoch for epoch in epochs if math.isfinite(epoch.get(monitor, math.nan))]
    return min(measured, key=lambda epoch: sign * epoch[monitor], default=None)


def find_runs(folder: Path) -> list[Path]:
    """All run directories in a folder, at any depth, sorted by path; without W&B's folders, which have a config too."""
    runs = sorted(file.parent for file in folder.rglob(CONFIG))
    return [run for run in runs if "wandb" not in run.relative_to(folder).parts[1:]]


def find_run(given: Path, option: str, is_wanted: Callable[[Path], bool], wanted: str, root: Path = Path(ROOT)) -> Path:
    """The run directory for the value of an option; raises a UserError if there is none.

    ``given`` is a run directory, a folder whose newest run is used, or ``last`` for the newest run of all in ``root``.
    A run that is not given directly must fulfil ``is_wanted``; ``wanted`` says so, such as ``has a test result``.
    """
    if (given / CONFIG).is_file():
        return given
    is_last = given == Path(LAST) and not given.exists()
    folder = root if is_last else given
    # The newest of all runs is not one of a search, whose trainings are in ``tune``.
    runs = [run for run in find_runs(folder) if not (is_last and run.relative_to(folder).parts[0] == "tune")]
    found = [run for run in runs if is_wanted(run)]
    if found:
        newest = max(found, key=last_written)
        log.info("%s %s: %s", option, given, newest)
        return newest
    if not is_last and not folder.is_dir():
        problem = "but there is no such file or folder"
    elif not is_last and not runs:
        problem = "which is not a run directory and does not contain one"
    else:
        problem = f"but no run in {str(folder)!r} {wanted}"
    recipes = sorted({str(run.parent) for run in find_runs(root)})
    known = f" Folders with runs: {some(recipes)}." if recipes else ""
    raise UserError(
        f"{option} is {str(given)!r}, {problem}. Give a run directory, a folder of runs (its newest is used), or "
        f"{LAST} for the newest of all runs.{known}"
    )


def last_written(run: Path) -> float:
    """Time at which the training last wrote to the run directory."""
    status = run / STATUS
    return (status if status.is_file() else run / CONFIG).stat().st_mtime


# Sections of a config that do not affect the training.
WITHOUT_EFFECT = {"run", "tracking"}


def flatten(config: dict[str, Any], parent: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their command-line names, such as ``model.optimizer.lr``, without those that have no effect."""
    for key, value in config.items():
        if not parent and key in WITHOUT_EFFECT:
            continue
        name = parent if key in {"class_path", "init_args"} else f"{parent}.{key}".strip(".")
        if isinstance(value, dict):
            yield from flatten(value, name)
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
