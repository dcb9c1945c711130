"""Fixtures of the tests of ``doctor``."""

from __future__ import annotations

from pathlib import Path

import pytest

from {{cookiecutter.package}}.tools.doctor import forecast, machine, steps

from .set_ups import start_repository, write_folder


@pytest.fixture
def machine_in_order(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a repository, on a machine whose facts do not depend on the one that runs the tests."""
    for variable in ("OMP_NUM_THREADS", "GIT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(machine, "gpus", list)
    monkeypatch.setattr(machine, "cpu_quota", lambda: None)
    monkeypatch.setattr(machine, "LITTLE_DISK", 0.0)
    monkeypatch.setattr(machine, "LITTLE_MEMORY", 0.0)
    monkeypatch.setattr(forecast, "SECONDS", 0.02)
    monkeypatch.setattr(steps, "SECONDS", 0.2)
    start_repository()
    return workspace


@pytest.fixture
def folder(machine_in_order: Path) -> Path:
    """``photos/{train,val,test}/{ant,bee}/*``: 24, 12 and 12 images of each class."""
    write_folder(machine_in_order / "photos")
    return machine_in_order / "photos"
