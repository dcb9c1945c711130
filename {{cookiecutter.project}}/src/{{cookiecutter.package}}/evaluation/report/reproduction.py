"""How to train the same again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from ..record import CONFIG, RunRecord


def command_again(run: RunRecord) -> str:
    """The command that repeats the run, in a directory of its own."""
    return f"{program(run.environment)} fit --config {shlex.quote(str(run.directory / CONFIG))}"


def command_given(environment: dict[str, Any]) -> str | None:
    """The command that the run was started with; None where it is not known."""
    words = environment.get("command", [])
    return f"{program(environment)} {shlex.join(words[1:])}" if words else None


def program(environment: dict[str, Any]) -> str:
    """What the run was started by: the project's command, or Python."""
    name = Path(environment.get("command", ["__main__.py"])[0]).name
    return f"python -m {__package__.split('.')[0]}" if name.endswith(".py") else name
