"""Recognises errors of a process that has lost the connection to another one."""

from __future__ import annotations

from torch import distributed

REASON = "another process of this training has ended, or cannot be reached"


def is_lost_process(error: BaseException) -> bool:
    """Whether the error means a lost connection. NCCL's errors have a type, Gloo's have only a text."""
    if not distributed.is_available():
        return False
    is_of_gloo = isinstance(error, RuntimeError) and "gloo" in str(error).lower()
    return is_of_gloo or isinstance(error, distributed.DistError)
