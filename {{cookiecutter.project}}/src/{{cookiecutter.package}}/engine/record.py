"""The record of a run: writes the environment, the metrics and the results of a run, and reads them again."""

from __future__ import annotations

import csv
import json
import logging
import math
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from msgspec import Meta

from ..errors import UserError, program_name, some, without_secrets
from ..facts import mode_of
from ..files import replacing, write_text
from .contracts import DataModule, class_named, count_parameters
from .environment import git, num_cpus, packages, versions
from .reading import (
    Amount,
    Count,
    Share,
    Temperature,
    arguments_of,
    checked,
    read_csv,
    read_json,
    read_yaml,
)
from .results import SplitOutputs, SplitResults, limit_notes, load_outputs, save_outputs, write_predictions
from .run_directory import CONFIG, ENVIRONMENT, METRICS, OUTPUTS, PREDICTIONS, STATUS, SUMMARY
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
            "num_cpus": num_cpus(),
            "num_threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        },
        "platform": platform.platform(),
        "versions": versions(),
        "packages": packages(),
    }
    write_text(directory / ENVIRONMENT, json.dumps(environment, indent=2, ensure_ascii=False) + "\n")


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


# The files of a run: what they must have, and what they may have. ``test/NAME`` of other metrics is a number.

DAMAGED = (
    "The run was stopped while it wrote the file, or the file was changed: restore it from a copy, or remove it to use "
    "the other files of the run."
)
EpochMetrics = dict[str, float]


class Named(TypedDict, total=False):
    name: str | None


class OptimizerArguments(TypedDict, total=False):
    lr: Amount


class ModelArguments(TypedDict, total=False):
    backbone: str
    mix: Named
    optimizer: OptimizerArguments
    schedule: Named


class ModelSection(TypedDict):
    class_path: str
    init_args: NotRequired[ModelArguments]


class RunSection(TypedDict, total=False):
    root: str
    name: str | None
    directory: str | None


class TrainerSection(TypedDict, total=False):
    max_epochs: int | None


class Stopping(TypedDict, total=False):
    patience: int | None


class DataArguments(TypedDict, total=False):
    root: str
    cache: str
    imbalance: str


class DataSection(TypedDict):
    class_path: str
    init_args: NotRequired[DataArguments]


class RunConfig(TypedDict):
    data: DataSection
    model: ModelSection
    monitor: str
    run: RunSection
    trainer: TrainerSection
    seed_everything: NotRequired[int | bool | None]
    early_stopping: NotRequired[Stopping]
    tracking: NotRequired[dict[str, Any]]


class ClassSummary(TypedDict):
    name: str
    num_images: Count
    precision: Share
    recall: Share
    f1: Share


Summary = TypedDict(
    "Summary",
    {
        "recipe": str,
        "seed": int | bool | None,
        "model": str,
        "monitor": str,
        "best": float | None,
        "seconds": Amount,
        "milliseconds_per_image": Amount,
        "num_epochs": Count,
        "num_train_images": Count,
        "num_test_images": Count,
        "num_parameters": Count,
        "num_trainable_parameters": Count,
        "train/class_counts": list[Count],
        "split_hash": str | None,
        "notes": list[str],
        "temperature": Temperature,
        "test/acc": Share,
        "test/balanced_acc": Share,
        "test/f1": Share,
        "test/loss": float | None,
        "test/classes": list[ClassSummary],
        "test/confusion": list[list[Count]],
    },
    total=False,
)


class Hardware(TypedDict):
    cpu: str
    num_cpus: Count
    gpus: list[str]
    num_threads: NotRequired[Count]


class Environment(TypedDict):
    program: NotRequired[str]
    command: list[str]
    working_directory: str
    git_commit: str | None
    git_dirty: NotRequired[bool]
    hardware: NotRequired[Hardware]
    platform: str
    versions: dict[str, str]
    packages: dict[str, str]


@dataclass(frozen=True)
class RunRecord:
    """Record of a training, finished or not."""

    directory: Path
    config: dict[str, Any]
    data_modules: Mapping[str, type] = field(default_factory=dict)  # the project's, by name, to open the images

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Final metrics and facts of the run; empty if it has no test result."""
        file = self.directory / SUMMARY
        if not file.is_file():
            return {}
        summary: dict[str, Any] = read_json(file, Summary, DAMAGED)
        require_consistent(summary, file)
        return summary

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Packages, hardware, git commit."""
        file = self.directory / ENVIRONMENT
        return dict(read_json(file, Environment, DAMAGED)) if file.is_file() else {}

    @cached_property
    def epochs(self) -> list[EpochMetrics]:
        """Metrics of each epoch, in order, including ``epoch``."""
        file = self.directory / METRICS
        if not file.is_file():
            return []
        rows, wanted = read_metrics(file), self.summary.get("num_epochs", 0)  # without a summary: not finished
        if len(rows) < wanted:
            raise UserError(f"{str(file)!r} has {len(rows)} rows, but the run has {wanted} epochs. {DAMAGED}")
        return [row for row in rows if "train/loss" in row or "val/loss" in row]

    @property
    def class_names(self) -> list[str]:
        """K names, in the order of the labels; empty if the run has no test result."""
        return [result["name"] for result in self.summary.get("test/classes", [])]

    def outputs(self, split: str) -> SplitOutputs | None:
        """Outputs of the best weights for ``val`` or ``test``; None if the run has no test result."""
        outputs = load_outputs(self.directory, split, DAMAGED)
        confusion = self.summary.get("test/confusion")
        if outputs is None or confusion is None:
            return outputs
        is_same = outputs.logits.shape[1] == len(confusion)
        is_same &= bool(np.isclose(outputs.temperature, self.summary.get("temperature", outputs.temperature)))
        if is_same and split == "test":
            counts = np.zeros((len(confusion), len(confusion)), dtype=np.int64)
            np.add.at(counts, (outputs.labels, outputs.predicted), 1)
            is_same = counts.tolist() == confusion
        if not is_same:
            raise UserError(
                f"{OUTPUTS} and {SUMMARY} in {str(self.directory)!r} have different {split} results. {DAMAGED}"
            )
        return outputs

    @cached_property
    def data(self) -> Any:
        """The data module of the run, created from its config; its class must be one of ``data_modules``."""
        return build_data(self.config["data"], self.data_modules, repr(str(self.directory / CONFIG)))


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
    return dict(read_yaml(file, RunConfig, "Give another run, or restore the file from a copy."))


def read_metrics(file: Path) -> list[EpochMetrics]:
    """The rows of ``metrics.csv``, in the order of the epochs; NaN and infinity are values of a divergence."""
    rows: list[EpochMetrics] = []
    for number, cells in enumerate(read_csv(file, ("epoch", "step"), DAMAGED), start=2):
        row: EpochMetrics = {}
        for name, text in cells.items():
            try:
                row |= {name: float(text)} if text else {}
            except ValueError as error:
                raise UserError(f"{str(file)!r}, row {number}: {name} is {text!r}, not a number. {DAMAGED}") from error
        what = f"{str(file)!r}, row {number}"
        for name in ("epoch", "step"):
            checked(row.get(name, -1.0), Annotated[float, Meta(ge=0, le=1e12)], f"{what}, {name}", DAMAGED)
        if rows and row["epoch"] <= rows[-1]["epoch"]:
            raise UserError(f"{what}: epoch {row['epoch']:g} follows epoch {rows[-1]['epoch']:g}. {DAMAGED}")
        rows.append(row)
    return rows


def require_consistent(summary: Mapping[str, Any], file: Path) -> None:
    """Refuse a summary whose lists do not belong together."""
    classes, confusion = summary.get("test/classes", []), summary.get("test/confusion", [])
    problem = ""
    if len({result["name"] for result in classes}) != len(classes):
        problem = "test/classes names a class twice"
    elif [sum(row) for row in confusion] != [result["num_images"] for result in classes]:
        problem = "test/classes and test/confusion differ in the number of images"
    elif any(len(row) != len(confusion) for row in confusion):
        problem = "test/confusion must have as many rows as columns"
    elif classes and sum(map(sum, confusion)) != summary.get("num_test_images"):
        problem = f"num_test_images is {summary.get('num_test_images')}, but test/confusion counts others"
    elif any(not (value is None or isinstance(value, int | float | list)) for name, value in metrics_in(summary)):
        problem = "a metric is not a number"
    if problem:
        raise UserError(f"{str(file)!r} cannot be used: {problem}. {DAMAGED}")


def metrics_in(summary: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in summary.items() if name.startswith("test/")]


def build_data(section: Mapping[str, Any], data_modules: Mapping[str, type], where: str) -> Any:
    """The data module that a config or checkpoint describes; its class must be in the table."""
    build: type[Any] = class_named(section["class_path"], data_modules, f"the data set of {where}")
    remedy = "It was changed, or is of another version. Give another run, or train again."
    return build(**arguments_of(build, section.get("init_args", {}), f"the data set of {where}", remedy))


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
