"""The parser of a verb whose options are its own, and not those of the trainer and its classes."""

from __future__ import annotations

import argparse
from typing import Any

from ..program import program_name


class VerbParser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that names the verb, and keeps the lines of its texts.

    Args:
        verb: as typed.
        description: what it does.
        epilog: what else to know; shown after the options.
        options: of ``ArgumentParser``.
    """

    def __init__(self, verb: str, description: str | None, epilog: str = "", **options: Any) -> None:
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(
            f"{program_name()} {verb}", description=description, epilog=epilog, formatter_class=layout, **options
        )
