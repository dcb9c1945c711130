"""The one clock of all measurements that may involve a GPU."""

from __future__ import annotations

import time

import torch


def now() -> float:
    """Seconds, read after a GPU has finished what it was asked to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
