import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.training import run_directory
from {{cookiecutter.package}}.training.run_directory import RunSettings, create_run_directory

pytestmark = pytest.mark.usefixtures("workspace")


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in ("RANK", "SLURM_PROCID", "SLURM_JOB_ID", "SLURM_JOB_NAME", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(variable, raising=False)
    yield
    run_directory.forget_run_directory()


def create(**settings: str) -> Path:
    directory = create_run_directory(RunSettings(**settings), "digits_mlp")
    run_directory.forget_run_directory()
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
    with pytest.raises(UserError, match=r"run\.directory is 'full', which holds files"):
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
    with pytest.raises(UserError, match=r"run\.directory is 'full', which holds files"):
        create(directory="full")
