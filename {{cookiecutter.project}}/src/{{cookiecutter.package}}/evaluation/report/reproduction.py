"""Commands that reproduce a run."""

from __future__ import annotations

import shlex
from typing import Any

from ...program import program_name
from ..record import CONFIG, RunRecord


def command_again(run: RunRecord) -> str:
    """The command that repeats the run in a new run directory."""
    return f"{program_name()} fit --config {shlex.quote(str(run.directory / CONFIG))}"


def command_given(environment: dict[str, Any]) -> str | None:
    """The command that started the run; None if it is not known."""
    words = environment.get("command", [])
    return f"{environment.get('program', words[0])} {shlex.join(words[1:])}" if words else None
