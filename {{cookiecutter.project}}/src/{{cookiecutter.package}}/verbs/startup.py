"""A quick start: importing what a training needs, and not what its libraries would import beside it."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning_utilities.core.imports as availability

# torchmetrics imports both where it finds them, for plots and for metrics of sound, which no classifier has: 3 of 11
# seconds. The part of scikit-learn that a data set may need imports what it needs of SciPy itself, later.
NOT_NEEDED = {"matplotlib", "scipy"}


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import within this block, before anything else has imported Lightning.

    Optional packages that nothing here uses are taken as missing by torchmetrics and Lightning, and Python does not
    look for garbage, of which imports make none: a tenth of their time. Nor does it later, but at the very end, among
    the million objects that they leave: each search through them would hold up a training for a quarter of a second.
    """
    cache: Any = availability.RequirementCache
    is_met, is_package = cache.__bool__, availability.package_available

    def is_needed_and_met(requirement: Any) -> bool:
        if requirement.requirement in NOT_NEEDED:
            requirement.available, requirement.message = False, "left out by this project's verbs/startup.py"
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
