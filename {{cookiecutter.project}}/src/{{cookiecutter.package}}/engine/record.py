"""The record of a run, read from the files of its directory; and its environment, which is written here."""

import json
import logging
import platform
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ..errors import UserError, program_name, some, without_secrets
from ..files import write_text
from .contracts import class_named
from .environment import cpu_info, git, num_cpus, packages, versions
from .metrics_table import EpochMetrics, read_metrics
from .reading import Amount, Count, arguments_of, fields, read_json, read_yaml
from .results import SplitOutputs, load_outputs
from .run_directory import CONFIG, DAMAGED, ENVIRONMENT, METRICS, OUTPUTS, STATUS, SUMMARY
from .summary import read_summary

log = logging.getLogger(__name__)

LAST = "last"  # names the newest run
ROOT = "runs"


@rank_zero_only
def write_environment(directory: Path) -> None:
    """Write what is needed to rebuild the environment, and the command of the run; no variables, and no secrets."""
    environment = {
        "program": program_name(),
        "command": without_secrets([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "working_directory": str(Path.cwd()),
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        "hardware": {
            "cpu": cpu_info("model name") or platform.processor() or platform.machine(),
            "num_cpus": num_cpus(),
            "num_threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        },
        "platform": platform.platform(),
        "versions": versions(),
        "packages": packages(),
    }
    write_text(directory / ENVIRONMENT, json.dumps(environment, indent=2, ensure_ascii=False) + "\n")


# What the files must have, and what they may have.
MODEL_ARGUMENTS = fields(
    backbone_=str,
    mix_=fields(name_=str | None),
    optimizer_=fields(lr_=Amount),
    schedule_=fields(name_=str | None),
)
RUN_CONFIG = fields(
    data=fields(class_path=str, init_args_=fields(root_=str, cache_=str, imbalance_=str)),
    model=fields(class_path=str, init_args_=MODEL_ARGUMENTS),
    monitor=str,
    run=fields(root_=str, name_=str | None, directory_=str | None),
    trainer=fields(max_epochs_=int | None),
    seed_everything_=int | bool | None,
    early_stopping_=fields(patience_=int | None),
    tracking_=dict[str, Any],
)
RUN_ENVIRONMENT = fields(
    program_=str,
    command=list[str],
    working_directory=str,
    git_commit=str | None,
    git_dirty_=bool,
    hardware_=fields(cpu=str, num_cpus=Count, gpus=list[str], num_threads_=Count),
    platform=str,
    versions=dict[str, str],
    packages=dict[str, str],
)


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
        return read_summary(file) if file.is_file() else {}

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Packages, hardware, git commit."""
        file = self.directory / ENVIRONMENT
        return dict(read_json(file, RUN_ENVIRONMENT, DAMAGED)) if file.is_file() else {}

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
    return dict(read_yaml(file, RUN_CONFIG, "Give another run, or restore the file from a copy."))


def build_data(section: Mapping[str, Any], data_modules: Mapping[str, type], where: str) -> Any:
    """The data module that a config or checkpoint describes; its class must be in the table."""
    build: type[Any] = class_named(section["class_path"], data_modules, f"the data set of {where}")
    remedy = "It was changed, or is of another version. Give another run, or train again."
    return build(**arguments_of(build, section.get("init_args", {}), f"the data set of {where}", remedy))


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


def flatten(
    config: Mapping[str, Any], parent: str = "", without: Collection[str] = WITHOUT_EFFECT
) -> Iterator[tuple[str, str]]:
    """Settings by their command-line names, such as ``model.optimizer.lr``, without these sections."""
    for key, value in config.items():
        if not parent and key in without:
            continue
        name = parent if key in {"class_path", "init_args"} else f"{parent}.{key}".strip(".")
        if isinstance(value, dict):
            yield from flatten(value, name)
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
