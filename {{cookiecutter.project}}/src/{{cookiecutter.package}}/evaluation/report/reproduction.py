"""How to train the same again."""

from __future__ import annotations

import shlex
from typing import Any

from ...program import program_name
from ..record import CONFIG, RunRecord


def command_again(run: RunRecord) -> str:
    """The command that repeats the run, in a directory of its own."""
    return f"{program_name()} fit --config {shlex.quote(str(run.directory / CONFIG))}"


def command_given(environment: dict[str, Any]) -> str | None:
    """The command that the run was started with; None where it is not known."""
    words = environment.get("command", [])
    return f"{environment.get('program', words[0])} {shlex.join(words[1:])}" if words else None
