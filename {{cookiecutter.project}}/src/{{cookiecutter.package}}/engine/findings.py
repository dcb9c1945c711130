"""What a check has found before a training; the verb ``doctor`` prints it."""

import re
from dataclasses import dataclass
from typing import Literal

from ..errors import UserError, program_name

Severity = Literal["error", "warning", "note", "ok"]


@dataclass(frozen=True)
class Finding:
    """One fact or problem: an error ends a training, a warning makes it slower, worse or harder to repeat."""

    severity: Severity
    subject: str  # in one or two words
    what: str
    why: str = ""  # it matters
    remedy: str = ""  # the command or the action that mends it


def refusal(subject: str, error: UserError) -> Finding:
    """An error with which ``fit`` refuses to start, in its words; what follows its first sentence is the remedy."""
    what, _, remedy = re.sub(r"\s+", " ", str(error)).partition(". ")
    more = f"All options: {program_name()} fit --help"
    return Finding("error", subject, what.rstrip("."), "fit refuses to start, with this message", remedy or more)
