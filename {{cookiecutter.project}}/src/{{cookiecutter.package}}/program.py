"""What the command is called, where a message says what to type."""

from __future__ import annotations

import sys
from pathlib import Path


def program_name() -> str:
    name = Path(sys.argv[0]).stem
    return f"python -m {__package__}" if name == "__main__" else name
