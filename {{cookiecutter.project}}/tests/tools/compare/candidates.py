"""Candidates without files, for everything that is computed from correct and incorrect predictions alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from {{cookiecutter.package}}.engine.record import RunRecord
from {{cookiecutter.package}}.tools.compare.candidates import Candidate

SUMMARY: dict[str, Any] = {
    "model": "CNN",
    "monitor": "val/loss",
    "test/f1": 0.5,
    "seconds": 1,
    "milliseconds_per_image": 0.1,
    "num_trainable_parameters": 1,
    "num_parameters": 1,
    "num_epochs": 4,
    "recipe": "recipe",
    "test/classes": [{"name": "cat"}, {"name": "dog"}],
}


def candidate(
    name: str, is_correct: Sequence[bool] = (True, False), config: dict[str, Any] | None = None, **summary: Any
) -> Candidate:
    """A run if there is a config, else a baseline."""
    facts = SUMMARY | summary
    if config is None:
        return Candidate(name, facts, np.array(is_correct))
    keys: list[tuple[str | int, str]] = [(number, "cat") for number in range(len(is_correct))]
    record = RunRecord(Path(name), config)
    facts["seed"] = config.get("seed_everything")
    record.__dict__["summary"] = facts
    return Candidate(name, facts, np.array(is_correct), keys, record)
