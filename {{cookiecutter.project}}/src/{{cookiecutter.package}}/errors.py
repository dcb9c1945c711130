"""The exception for mistakes that the user can correct, and what its messages share."""

import difflib
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

NUM_SHOWN = 5
SECRET_NAME = re.compile(r"(?:^|[._-])(?:api_?key|access_?key|key|token|secret|password|credentials?)$", re.IGNORECASE)


class UserError(Exception):
    """Wrong input; the message states what was given, what is allowed and what to do next. Every verb can raise it.

    ``cli.main`` prints the message without a stack trace and exits with status 2. All other exceptions are bugs and
    keep their trace. It is not a ValueError, because jsonargparse would report that as a value of the wrong type.
    Of the error of a loader's worker, whose text has a trace, only the message is kept.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message.rsplit(f"{type(self).__name__}: ", 1)[-1].strip())


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The error and those that have caused it; they may form a circle, as jsonargparse wraps errors that we unwrap."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        yield cause
        cause = cause.__cause__ or cause.__context__


def did_you_mean(given: str, choices: Iterable[str]) -> str:
    """End of an error message: the most similar valid choice, and all choices unless there are too many."""
    known = sorted(choices)
    folded = {choice.casefold(): choice for choice in known}
    beginning = [name for name in folded if given and name.startswith(given.casefold())]
    similar = difflib.get_close_matches(given.casefold(), folded, n=NUM_SHOWN)
    near = [folded[name] for name in dict.fromkeys([*beginning, *similar])][:NUM_SHOWN]
    hint = f"Did you mean {near[0]!r}? " if near else ""
    if len(known) > 30:
        return f"{hint}Nearest of {len(known)} choices: {', '.join(near) or 'none'}."
    return f"{hint}Valid choices: {', '.join(known)}."


def brief(value: object, length: int = 80) -> str:
    """The value as in Python, shortened to ``length`` letters; a number without quotes, also if it is text."""
    text = repr(value)
    if isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?|-?inf|nan", value):
        text = value
    return text if len(text) <= length else f"{text[: length - 3]}..."


def is_utf8(name: str) -> bool:
    """Whether a file name or an argument is text; other bytes are surrogates, which no file of this project holds."""
    return name.isascii() or name.encode(errors="replace").decode() == name


def escaped(name: str) -> str:
    """A name that is not UTF-8, as bytes in Python's notation."""
    return repr(os.fsencode(name))


def some(names: Sequence[str]) -> str:
    """The first few names, and the number of the others."""
    more = f" and {len(names) - NUM_SHOWN} more" if len(names) > NUM_SHOWN else ""
    return f"{', '.join(names[:NUM_SHOWN]) or 'none'}{more}"


def runner() -> str:
    """Prefix for commands of installed packages: ``uv run`` if uv started this process."""
    return "uv run " if "UV_RUN_RECURSION_DEPTH" in os.environ else ""  # `uvx` does not set this variable


def program_name() -> str:
    """The command up to its verb, such as ``uv run image-classifier`` or ``python -m image_classifier``."""
    script = Path(sys.argv[0])
    if script.name in {"__main__.py", "-m", "-c", ""}:  # `python -m`
        python = "python" if runner() else shlex.quote(sys.orig_argv[0])
        return f"{runner()}{python} -m {__package__}"
    found = shutil.which(script.stem)
    is_on_path = found is not None and Path(found).absolute() == script.absolute()
    return f"{runner()}{script.stem if runner() or is_on_path else shlex.quote(str(script))}"


def shown(directory: Path) -> str:
    """A path to show: relative if it is inside the working directory."""
    relative = os.path.relpath(directory)
    return str(directory.absolute()) if relative.startswith(os.pardir) else relative


def without_secrets(value: Any) -> Any:
    """A command line or config, with ``***`` for what options named key, token, secret or password hold."""
    if isinstance(value, dict):
        return {name: "***" if item and is_secret(name) else without_secrets(item) for name, item in value.items()}
    if not isinstance(value, list):
        return value
    masked = [without_secrets(item) for item in value]
    for position, word in enumerate(masked):
        name, separator, _ = word.partition("=") if isinstance(word, str) else ("", "", "")
        if name.startswith("--") and is_secret(name):
            if separator:
                masked[position] = f"{name}=***"
            elif position + 1 < len(masked):
                masked[position + 1] = "***"
    return masked


def is_secret(name: str) -> bool:
    return bool(SECRET_NAME.search(name))
