"""The environment of a run: packages, Python, hardware, git commit."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from .. import __version__
from ..program import program_name

FILE_NAME = "environment.json"
PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "numpy")


@rank_zero_only
def write_environment(directory: Path) -> None:
    """Write ``environment.json``: what is needed to rebuild the environment, and the command of the run."""
    text = json.dumps(environment(), indent=2, ensure_ascii=False)
    (directory / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def environment() -> dict[str, Any]:
    return {
        "program": program_name(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "working_directory": str(Path.cwd()),
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        "hardware": hardware(),
        "platform": platform.platform(),
        "versions": versions(),
        "packages": dict(sorted(installed())),
    }


def hardware() -> dict[str, Any]:
    """Processor, threads and GPUs that the run can use."""
    num_gpus = torch.cuda.device_count()
    return {
        "cpu": cpu_name(),
        "num_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "num_threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(num_gpus)],
    }


def cpu_name() -> str:
    """The name in ``/proc/cpuinfo``; on other systems, the one that Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@cache
def installed() -> list[tuple[str, str]]:
    """Names and versions of all packages; cached, as listing them takes half a second."""
    return [(found.metadata["Name"], found.version) for found in distributions()]


def versions() -> dict[str, str]:
    """Versions of Python, this project and the packages that affect results."""
    own = {"python": platform.python_version(), __package__.split(".")[0]: __version__}
    return own | {package: version(package) for package in PACKAGES}


def git_commit() -> str | None:
    """The commit of the working directory; None outside a repository."""
    return git("rev-parse", "HEAD")


def git(*arguments: str) -> str | None:
    """Output of a git command in the working directory; None outside a repository or without git."""
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
