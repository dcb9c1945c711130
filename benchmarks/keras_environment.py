"""An environment that holds Keras and nothing of the project, so that the project never depends on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = ("keras", "tensorflow-cpu")


class NoKerasError(Exception):
    """The environment cannot be made; the message says why, and names no file of this machine."""


def keras_python(folder: Path) -> Path:
    """The Python of the environment in ``folder``, which is made at the first call: about 1.5 GB.

    Raises:
        NoKerasError: pip cannot install Keras; what it said goes to stderr.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = folder / "ready"
    if not ready.exists():
        print("setting up an environment for Keras ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        install(python)
        ready.touch()
    return python


def install(python: Path) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        print(result.stderr, file=sys.stderr)
        raise NoKerasError(f"`pip install {' '.join(REQUIREMENTS)}` ended with {result.returncode} on this machine")
