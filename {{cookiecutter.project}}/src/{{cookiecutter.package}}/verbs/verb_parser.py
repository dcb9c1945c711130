"""Argument parser for verbs without trainer options."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from ..errors import UserError, did_you_mean
from ..program import program_name


class VerbParser(argparse.ArgumentParser):
    """An ``ArgumentParser`` for one verb, which keeps line breaks in its texts.

    Args:
        verb: name of the verb.
        description: description of the verb.
        epilog: text after the options.
        options: further arguments of ``ArgumentParser``.
    """

    def __init__(self, verb: str, description: str | None, epilog: str = "", **options: Any) -> None:
        super().__init__(
            f"{program_name()} {verb}",
            description=description and description.replace("``", ""),
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **options,
        )

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        """Like ``ArgumentParser.add_argument``; also records the names for error messages."""
        self.known = [*getattr(self, "known", []), *names]
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        """Raise the error that ``ArgumentParser`` would print.

        Raises:
            UserError: always.
        """
        unknown = re.search(r"unrecognized arguments: (--[^\s=]+)", message)
        if unknown:
            hint = did_you_mean(unknown[1], [name for name in self.known if name.startswith("--")])
            raise UserError(f"there is no option {unknown[1]!r}. {hint}")
        raise UserError(f"{message}. All options: {self.prog} --help")
