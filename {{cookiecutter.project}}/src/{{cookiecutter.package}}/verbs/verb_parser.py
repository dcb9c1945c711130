"""The parser of a verb whose options are its own, and not those of the trainer and its classes."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from ..errors import UserError, did_you_mean
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
        super().__init__(
            f"{program_name()} {verb}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **options,
        )

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        """As ``ArgumentParser`` does; the names are remembered for error messages."""
        self.known = [*getattr(self, "known", []), *names]
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        """Raise what ``ArgumentParser`` would print behind its usage.

        Raises:
            UserError: always.
        """
        unknown = re.search(r"unrecognized arguments: (--[^\s=]+)", message)
        if unknown:
            hint = did_you_mean(unknown[1], [name for name in self.known if name.startswith("--")])
            raise UserError(f"there is no option {unknown[1]!r}. {hint}")
        raise UserError(f"{message}. All options: {self.prog} --help")
