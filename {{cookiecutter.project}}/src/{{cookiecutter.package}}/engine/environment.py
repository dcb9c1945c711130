"""Versions, git state and hardware, read without importing torch."""

import os
import platform
import re
import subprocess
from importlib.metadata import distributions, version
from pathlib import Path

from .. import __version__


def num_cpus() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_info(*names: str) -> str:
    """The first of these fields of the CPU, as Linux shows it; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(names)), "")


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
