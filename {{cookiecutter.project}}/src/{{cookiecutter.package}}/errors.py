"""The exception for mistakes that the user can correct, and helpers for its messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

MAX_CHOICES_SHOWN = 30
NUM_SHOWN = 5


class UserError(Exception):
    """Wrong input; the message states what was given, what is allowed and what to do next.

    ``cli.main`` prints the message without a stack trace and exits with status 2. All other exceptions are bugs and
    keep their trace. It is not a ValueError, because jsonargparse would report that as a value of the wrong type.
    """


def did_you_mean(given: str, choices: Iterable[str]) -> str:
    """End of an error message: the most similar valid choice, and all choices unless there are too many."""
    known = sorted(choices)
    near = nearest(given, known)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    if len(known) > MAX_CHOICES_SHOWN:
        return f"{hint}Nearest of {len(known)} choices: {', '.join(near) or 'none'}."
    return f"{hint}Valid choices: {', '.join(known)}."


def nearest(given: str, known: Sequence[str]) -> list[str]:
    """The choices most similar to ``given``: first those that begin with it, then others."""
    folded = {choice.casefold(): choice for choice in known}
    beginning = [name for name in folded if given and name.startswith(given.casefold())]
    similar = difflib.get_close_matches(given.casefold(), folded, n=NUM_SHOWN)
    return [folded[name] for name in dict.fromkeys([*beginning, *similar])][:NUM_SHOWN]


def some(names: Sequence[str]) -> str:
    """The first few names, and the number of the others."""
    more = f" and {len(names) - NUM_SHOWN} more" if len(names) > NUM_SHOWN else ""
    return f"{', '.join(names[:NUM_SHOWN]) or 'none'}{more}"
