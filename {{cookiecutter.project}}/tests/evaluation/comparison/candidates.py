"""Candidates without a run, for what is computed from right and wrong alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from {{cookiecutter.package}}.evaluation.comparison.candidate import Candidate
from {{cookiecutter.package}}.evaluation.record import RunRecord


def candidate(
    name: str, is_correct: Sequence[bool] = (True, False), config: dict[str, Any] | None = None, seconds: float = 1
) -> Candidate:
    images = [(f"image {number}", "cat") for number in range(len(is_correct))]
    record = None if config is None else RunRecord(Path(name), config)
    if record is not None:
        record.__dict__["summary"] = {"recipe": "recipe", "seed": record.config["seed_everything"]}
    return Candidate(name, "CNN", images, images, np.array(is_correct), 0.5, seconds, 0.1, record=record)
