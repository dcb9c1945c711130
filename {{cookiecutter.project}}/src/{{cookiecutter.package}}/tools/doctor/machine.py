"""The machine and its packages: all that can be checked without importing torch."""

import os
import platform
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ...engine.environment import git, num_cpus
from ...engine.findings import Finding
from ...errors import runner, some
from ...files import megabytes, nearest_folder

PACKAGE = __package__.split(".")[0]
LITTLE_MEMORY = 2e9  # bytes; torch, Lightning and a small network take about one
LITTLE_DISK = 2e9  # bytes
INSTALL = "uv sync (with pip: pip install -e .)"


def examine_machine() -> Iterator[Finding]:
    """Look at Python, packages, GPU, CPU, memory, disk and git, in this order."""
    yield from examine_packages()
    yield from examine_gpu()
    yield from examine_cpu()
    yield from examine_memory()
    yield from examine_disk()
    yield from examine_git()


# Python and packages.


def declared() -> tuple[SpecifierSet, list[Requirement]]:
    """The versions of Python, and the packages, that this project declares."""
    file = Path(__file__).resolve().parents[4] / "pyproject.toml"
    if file.is_file():  # a checkout
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        return SpecifierSet(project["requires-python"]), [Requirement(text) for text in project["dependencies"]]
    found = distribution(packages_distributions()[PACKAGE][0])
    needed = [Requirement(text) for text in found.requires or []]
    wanted = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return SpecifierSet(found.metadata["Requires-Python"]), wanted


def examine_packages() -> Iterator[Finding]:
    pythons, requirements = declared()
    python = platform.python_version()
    if pythons.contains(python, prereleases=True):
        yield Finding("ok", "Python", python)
    else:
        what = f"{python}; this project needs {pythons}"
        remedy = f"uv venv --python {min(one.version for one in pythons)}, and install the project in it"
        yield Finding("error", "Python", what, "its code uses syntax and modules of newer versions", remedy)
    problems = [problem for one in requirements if (problem := examine_package(one))]
    yield from problems
    if not problems:
        shown = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "lightning"))
        what = f"{shown} and {len(requirements) - 3} more; all are of versions that this project declares"
        yield Finding("ok", "packages", what)


def examine_package(requirement: Requirement) -> Finding | None:
    """A package that is missing, known to be bad, or of a version that this project was not tested with."""
    name, allowed = requirement.name, requirement.specifier
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding("error", "packages", f"{name} is not installed", "this project imports it", INSTALL)
    if allowed.contains(found, prereleases=True):
        return None
    remedy = f"{INSTALL}, or alone: {'uv ' if runner() else ''}pip install '{name}{allowed}'"
    bad = [one for one in allowed if one.operator == "!=" and not one.contains(found, prereleases=True)]
    if bad:
        why = "this release is known to be bad: pyproject.toml says why it is excluded"
        return Finding("error", "packages", f"{name} is {found}, which this project excludes", why, remedy)
    why = "the tests of this project do not pass, or were not run, with other versions"
    return Finding("warning", "packages", f"{name} is {found}; this project declares {allowed}", why, remedy)


# Hardware.


def run(*words: str) -> str:
    """Output of a command; empty if it does not exist, fails, or takes longer than a second."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=1).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def gpus() -> list[tuple[str, str, float, float]]:
    """Name, driver version, and bytes of total and of free memory of each NVIDIA GPU, as its driver says."""
    columns = "name,driver_version,memory.total,memory.free"
    rows = run("nvidia-smi", f"--query-gpu={columns}", "--format=csv,noheader,nounits").splitlines()
    cells = [[cell.strip() for cell in row.split(",")] for row in rows]
    return [(*row[:2], *(float(cell) * 2**20 for cell in row[2:])) for row in cells if len(row) == 4]  # type: ignore[misc]


def driver_cuda() -> tuple[int, int] | None:
    """The highest version of CUDA that the driver runs."""
    found = re.search(r"CUDA Version:\s*(\d+)\.(\d+)", run("nvidia-smi"))
    return (int(found[1]), int(found[2])) if found else None


def torch_build() -> str:
    """The build of the installed torch, such as ``cpu`` or ``cu132``; empty if its version does not say."""
    try:
        return version("torch").partition("+")[2]
    except PackageNotFoundError:
        return ""


def examine_gpu() -> Iterator[Finding]:
    found, build = gpus(), torch_build()
    if not found:
        is_present = Path("/proc/driver/nvidia").is_dir()
        if is_present or shutil.which("nvidia-smi"):
            remedy = "nvidia-smi, whose message says what is wrong; usually restart the machine or install the driver"
            what = "the driver of an NVIDIA GPU is installed, but nvidia-smi finds no GPU"
            yield Finding("warning", "GPU", what, "training runs on the CPU", remedy)
        else:
            yield Finding("ok", "GPU", "no NVIDIA GPU; training runs on the CPU, or on Apple's GPU if there is one")
        return
    for name, driver, total, free in found:
        yield Finding("ok", "GPU", f"{name}, driver {driver}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free")
        if free < total / 2:
            what = f"other processes use {(total - free) / 2**30:.0f} of {total / 2**30:.0f} GiB of {name}"
            remedy = "nvidia-smi lists the processes; end them, or choose another GPU: --trainer.devices [1]"
            yield Finding("warning", "GPU", what, "a training can run out of memory", remedy)
    yield from examine_build(build, driver_cuda())


def examine_build(build: str, cuda: tuple[int, int] | None) -> Iterator[Finding]:
    """Compare torch's build with the driver's CUDA; versions of CUDA with the same first number work together."""
    remedy = "uv pip install --torch-backend auto --reinstall torch torchvision"
    if build == "cpu":
        why = "training runs on the CPU, and the GPU is idle"
        yield Finding("warning", "GPU", "torch is installed without CUDA", why, remedy)
    elif cuda and (built := re.fullmatch(r"cu(\d+)(\d)", build)) and int(built[1]) > cuda[0]:
        what = f"torch is built for CUDA {built[1]}.{built[2]}, and the driver runs CUDA {cuda[0]}.{cuda[1]} at most"
        why = "torch cannot use the GPU"
        yield Finding("warning", "GPU", what, why, f"install a newer driver, or another build of torch: {remedy}")


def cpu_quota() -> float | None:
    """CPU cores that a container may use on average; None without a limit."""
    with_limit = Path("/sys/fs/cgroup/cpu.max")
    try:
        quota, period = with_limit.read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def examine_cpu() -> Iterator[Finding]:
    number, quota, threads = num_cpus(), cpu_quota(), os.environ.get("OMP_NUM_THREADS", "")
    usable = number if quota is None else min(number, quota)
    yield Finding("ok", "CPU", f"{usable:g} cores")
    remedy = f"export OMP_NUM_THREADS={max(1, int(usable))}"
    if threads and not (threads.isdigit() and int(threads) >= 1):
        what = f"OMP_NUM_THREADS is {threads!r}, which is not a number of threads"
        yield Finding("warning", "CPU", what, "torch ignores it or uses one thread", "unset OMP_NUM_THREADS")
    elif threads and int(threads) > usable:
        what = f"OMP_NUM_THREADS is {threads}, and this process may use {usable:g} cores"
        yield Finding("warning", "CPU", what, "threads wait for each other, and each step is slower", remedy)
    elif not threads and quota is not None and quota < number / 2:
        what = f"this container may use {quota:g} of {number} cores, and torch starts a thread for each of them"
        yield Finding("warning", "CPU", what, "threads wait for each other, and each step is slower", remedy)


def available_memory() -> float | None:
    """Bytes of memory that a new process can use: of the machine, or less in a container; None if unknown."""
    found = []
    try:
        meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
        found += [int(kib) * 1024.0 for kib in re.findall(r"^MemAvailable:\s*(\d+)", meminfo, re.MULTILINE)]
        group = Path("/sys/fs/cgroup")
        if (limit := (group / "memory.max").read_text(encoding="ascii").strip()) != "max":
            inactive = re.search(
                r"^inactive_file (\d+)", (group / "memory.stat").read_text(encoding="ascii"), re.MULTILINE
            )
            used = int((group / "memory.current").read_text(encoding="ascii"))
            found.append(float(int(limit) - used + (int(inactive[1]) if inactive else 0)))
    except (OSError, ValueError):
        pass
    return min(found, default=None)


def examine_memory() -> Iterator[Finding]:
    available = available_memory()
    if available is None:
        return
    what = f"{megabytes(available)} available"
    if available < LITTLE_MEMORY:
        why = "the operating system ends a process that needs more"
        yield Finding("warning", "memory", what, why, "end other programs, or give the container more memory")
    else:
        yield Finding("ok", "memory", what)


def free_disk(folder: Path) -> float:
    return float(shutil.disk_usage(nearest_folder(folder)).free)


def examine_disk() -> Iterator[Finding]:
    free = free_disk(Path())
    what = f"{megabytes(free)} free in this folder"
    if free < LITTLE_DISK:
        remedy = "free disk space (old runs: du -sh runs/*), or give --run.root on another disk"
        yield Finding("warning", "disk", what, "a training that cannot write a checkpoint ends", remedy)
    else:
        yield Finding("ok", "disk", what)
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        what = f"no folder for temporary files: {error.strerror or error}"
        why = "loader workers and several libraries need one"
        yield Finding("error", "disk", what, why, "export TMPDIR=FOLDER, with a folder that can be written")


def shared_memory() -> float | None:
    """Bytes free in shared memory, which loader workers use on Linux; None elsewhere."""
    folder = Path("/dev/shm")
    return float(shutil.disk_usage(folder).free) if folder.is_dir() else None


def new_code() -> list[str]:
    """Python files and configs in no commit, except those that git ignores."""
    return (git("ls-files", "--others", "--exclude-standard", "--", "*.py", "*.yaml") or "").splitlines()


def examine_git() -> Iterator[Finding]:
    commit, why = git("rev-parse", "--short", "HEAD"), "a run cannot record the code that it was trained with"
    if shutil.which("git") is None:
        yield Finding("note", "git", "git is not installed", why, "install git")
    elif git("rev-parse", "--git-dir") is None:
        yield Finding("note", "git", "this folder is in no repository", why, "git init && git add . && git commit")
    elif commit is None:
        yield Finding("note", "git", "the repository has no commit", why, "git add . && git commit")
    elif changed := (git("diff", "--name-only", "HEAD") or "").splitlines() + new_code():
        why = "environment.json records the commit only, from which the run cannot be repeated"
        remedy = "git add --all && git commit"
        yield Finding("warning", "git", f"changes since {commit}: {some(changed)}", why, remedy)
    else:
        yield Finding("ok", "git", f"commit {commit}, no changes")
