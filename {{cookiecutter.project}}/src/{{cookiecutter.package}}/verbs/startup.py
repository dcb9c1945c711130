"""Faster start: skips imports of optional packages that a training does not need."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning_utilities.core.imports as availability

# torchmetrics imports both if they are installed, for plots and audio metrics: 3 of 11 seconds. scikit-learn imports
# the parts of SciPy that it needs itself, later.
NOT_NEEDED = {"matplotlib", "scipy"}


@contextmanager
def quick_imports() -> Iterator[None]:
    """Speed up the imports within this block, which must be the first to import Lightning.

    torchmetrics and Lightning treat unused optional packages as not installed. Garbage collection is off, which saves
    a tenth of the import time. The million imported objects are frozen until exit, because each collection of them
    would pause a training for a quarter of a second.
    """
    cache: Any = availability.RequirementCache
    is_met, is_package = cache.__bool__, availability.package_available

    def is_needed_and_met(requirement: Any) -> bool:
        if requirement.requirement in NOT_NEEDED:
            requirement.available, requirement.message = False, "disabled by this project's verbs/startup.py"
        return bool(is_met(requirement))

    cache.__bool__ = is_needed_and_met
    vars(availability)["package_available"] = lambda name: name not in NOT_NEEDED and is_package(name)
    gc.disable()
    try:
        yield
    finally:
        cache.__bool__ = is_met
        vars(availability)["package_available"] = is_package
        gc.freeze()
        atexit.register(gc.unfreeze)
        gc.enable()
