"""What several test files share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from baking import bake


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home and a temporary folder for what programs leave there, removed at the end.

    Not below pytest's folder, whose path may be long: sockets allow about 100 characters.
    """
    tmp_path_factory.getbasetemp()  # stays where the user wants it
    short = "/tmp" if os.name == "posix" else None
    folders = TemporaryDirectory(prefix="tests-", dir=short, ignore_cleanup_errors=True)
    with folders as folder, pytest.MonkeyPatch.context() as patch:
        for variable in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"):
            patch.setenv(variable, folder)
        patch.setattr(tempfile, "tempdir", folder)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # the project that tests share stays as it was generated
        yield


@pytest.fixture(scope="session")
def default_bake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the default answers, to be read and not changed."""
    return bake(tmp_path_factory.mktemp("default") / "out")
