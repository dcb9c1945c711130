import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from {{cookiecutter.package}}.engine import run_directory
from {{cookiecutter.package}}.engine.run_directory import RunSettings, create_run_directory
from {{cookiecutter.package}}.errors import UserError

pytestmark = pytest.mark.usefixtures("workspace")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in ("RANK", "SLURM_PROCID", "SLURM_JOB_ID", "SLURM_JOB_NAME", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(variable, raising=False)
    yield
    run_directory.release_run_directory()


def create(**settings: str) -> Path:
    directory = create_run_directory(RunSettings(**settings), "digits_mlp")
    run_directory.release_run_directory()
    return directory


def test_two_runs_in_the_same_second() -> None:
    directories = [create() for _ in range(5)]
    assert len(set(directories)) == 5
    assert all(directory.parent == Path("runs/digits_mlp") and directory.is_dir() for directory in directories)


def test_root_and_name() -> None:
    assert create(root="elsewhere", name="mine").parent == Path("elsewhere/mine")


def test_copies_of_the_process_share_it() -> None:
    directory = create_run_directory(RunSettings(), "digits_mlp")
    assert create_run_directory(RunSettings(name="other"), "x") == directory.absolute()


def test_an_exact_directory() -> None:
    assert create(directory="mine") == Path("mine")


def test_nothing_is_written_over(workspace: Path) -> None:
    (workspace / "full").mkdir()
    (workspace / "full" / "results.txt").touch()
    with pytest.raises(UserError, match=r"run\.directory is 'full', which is not empty"):
        create(directory="full")


@pytest.mark.parametrize(("variable", "value"), [("SLURM_JOB_ID", "77"), ("TORCHELASTIC_RUN_ID", "abc")])
def test_a_launchers_processes_agree(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv(variable, value)
    assert create() == create() == Path(f"runs/digits_mlp/job-{value}")


def test_a_launcher_without_a_job_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(UserError, match="--rdzv-id"):
        create()
    assert not os.path.exists("runs")  # noqa: PTH110


def test_a_shell_of_slurm_is_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in (("SLURM_PROCID", "0"), ("SLURM_JOB_ID", "77"), ("SLURM_JOB_NAME", "bash")):
        monkeypatch.setenv(variable, value)
    assert create() != create()


def test_a_launchers_processes_share_a_directory(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    """Whether rank zero has written into it yet, or the job has run before; but not one of other files."""
    monkeypatch.setenv("RANK", "1")
    assert create(directory="mine") == create(directory="mine") == Path("mine")
    (workspace / "mine" / "config.yaml").touch()
    (workspace / "mine" / "status.json").touch()
    assert create(directory="mine") == Path("mine")
    (workspace / "full").mkdir()
    (workspace / "full" / "results.txt").touch()
    with pytest.raises(UserError, match=r"run\.directory is 'full', which is not empty"):
        create(directory="full")


HOLDER = """
import sys, time
from multiprocessing import get_context
from filelock import FileLock
lock = FileLock("run/.lock")
lock.acquire()
if sys.argv[1] == "fork":  # as a loader's worker, which outlives its parent by seconds
    get_context("fork").Process(target=time.sleep, args=[4]).start()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a run that a process on another machine has begun."""
    monkeypatch.setattr(run_directory, "JOB_LOCK_SECONDS", 0.2)
    (workspace / "run").mkdir()
    status = {"state": "running", "host": "node-a", "process": 7, "started": "2026-01-02T03:04:05+00:00"}
    (workspace / "run" / "status.json").write_text(json.dumps(status))
    return Path("run")


@pytest.fixture
def hold_elsewhere() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a process that holds the lock."""
    holders = []

    def start(kind: str = "") -> subprocess.Popen[str]:
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, kind], stdout=subprocess.PIPE, text=True)
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        return holder

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_a_job_waits_for_the_lock_of_another_machine_and_says_how_to_remove_it(
    run: Path, hold_elsewhere: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_PROCID", "0")
    holder = hold_elsewhere()
    with pytest.raises(UserError) as refused:
        create_run_directory(RunSettings(), "digits_mlp", resumed=run)
    assert str(refused.value) == (
        "another process trains in 'run': process 7 on node-a, since 2026-01-02 03:04 UTC. Wait until it ends; or if "
        "that machine is gone, remove 'run/.lock'. Then run this command again."
    )
    monkeypatch.setattr(run_directory, "JOB_LOCK_SECONDS", 60)
    threading.Timer(0.5, holder.kill).start()
    assert create_run_directory(RunSettings(), "digits_mlp", resumed=run) == run


def test_a_killed_process_is_no_hindrance(run: Path, hold_elsewhere: Callable[..., subprocess.Popen[str]]) -> None:
    """Not even while a loader's worker that it started is still there."""
    holder = hold_elsewhere("fork")
    holder.kill()
    holder.wait()
    assert create_run_directory(RunSettings(), "digits_mlp", resumed=run) == run


def test_only_rank_zero_holds_the_lock(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1, raising=False)
    create_run_directory(RunSettings(), "digits_mlp", resumed=run)
    assert not run_directory.held_locks


def test_a_training_that_has_ended_leaves_the_directory_to_others(run: Path) -> None:
    for _ in range(2):  # one after the other, in one process, as in a notebook
        create_run_directory(RunSettings(), "digits_mlp", resumed=run)
        run_directory.release_run_directory()


def test_without_locks_a_warning(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    (run / ".lock").mkdir()  # a folder cannot be locked, whoever the user is
    assert create_run_directory(RunSettings(), "digits_mlp", resumed=run) == run
    assert "run cannot be locked (" in caplog.text
    assert "do not start a second training in it" in caplog.text
