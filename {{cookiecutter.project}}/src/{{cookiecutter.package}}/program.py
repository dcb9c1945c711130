"""The command that started this process, for messages: users can copy and paste it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

MODULE = "__main__.py"  # of `python -m`
STARTED_BY_UV = "UV_RUN_RECURSION_DEPTH"  # an environment variable that `uv run` sets, and `uvx` does not


def runner() -> str:
    """Prefix for commands of installed packages: ``uv run`` if uv started this process."""
    return "uv run " if STARTED_BY_UV in os.environ else ""


def program_name() -> str:
    """The command up to its verb, such as ``uv run image-classifier`` or ``python -m image_classifier``."""
    script = Path(sys.argv[0])
    if script.name in {MODULE, "-m", "-c", ""}:
        python = "python" if runner() else shlex.quote(sys.orig_argv[0])
        return f"{runner()}{python} -m {__package__}"
    found = shutil.which(script.stem)
    is_on_path = found is not None and Path(found).absolute() == script.absolute()
    return f"{runner()}{script.stem if runner() or is_on_path else shlex.quote(str(script))}"
