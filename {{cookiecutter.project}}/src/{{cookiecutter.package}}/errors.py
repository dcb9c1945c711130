"""The one exception for mistakes that a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

MAX_CHOICES_SHOWN = 30
NUM_SHOWN = 5


class UserError(Exception):
    """Wrong input; the message says what was given, what is allowed and what to do next.

    ``cli.main`` prints it as one paragraph and exits with status 2, without a stack trace. Everything else that is
    raised is a defect of this project and keeps its trace. It is no ValueError, because jsonargparse takes those for
    values of the wrong type and buries the message under the types that it tried.
    """


def did_you_mean(given: str, choices: Iterable[str]) -> str:
    """The end of an error message: the nearest valid choice, and all of them where they are few enough to read."""
    known = sorted(choices)
    near = nearest(given, known)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    if len(known) > MAX_CHOICES_SHOWN:
        return f"{hint}Nearest of {len(known)} choices: {', '.join(near) or 'none'}."
    return f"{hint}Valid choices: {', '.join(known)}."


def nearest(given: str, known: Sequence[str]) -> list[str]:
    """The choices most like what was given, the best first: those that begin with it, then the similar ones."""
    folded = {choice.casefold(): choice for choice in known}
    beginning = [name for name in folded if given and name.startswith(given.casefold())]
    similar = difflib.get_close_matches(given.casefold(), folded, n=NUM_SHOWN)
    return [folded[name] for name in dict.fromkeys([*beginning, *similar])][:NUM_SHOWN]


def some(names: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - NUM_SHOWN} more" if len(names) > NUM_SHOWN else ""
    return f"{', '.join(names[:NUM_SHOWN]) or 'none'}{more}"
