"""Candidates without files, for everything that is computed from correct and incorrect predictions alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from {{cookiecutter.package}}.engine.record import RunRecord
from {{cookiecutter.package}}.engine.results import SplitOutputs
from {{cookiecutter.package}}.tools.compare.candidates import Candidate, Run

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


def candidate(name: str, is_correct: Sequence[bool] = (True, False), **summary: Any) -> Candidate:
    """A baseline."""
    return Candidate(name, SUMMARY | summary, np.array(is_correct))


def run(name: str, config: dict[str, Any], is_correct: Sequence[bool] = (True, False), **summary: Any) -> Run:
    """Of two classes; all test images are cats."""
    facts = SUMMARY | summary | {"seed": config.get("seed_everything")}
    keys: list[tuple[str | int, str]] = [(number, "cat") for number in range(len(is_correct))]
    logits = np.array([[1, 0] if right else [0, 1] for right in is_correct], dtype=np.float32)
    outputs = SplitOutputs([str(number) for number, _ in keys], np.zeros(len(keys), dtype=np.int64), logits)
    record = RunRecord(Path(name), config)
    record.__dict__["summary"] = facts
    return Run(name, facts, np.array(is_correct), keys, record, outputs)
