from pathlib import Path
from typing import Any

import numpy as np

from {{cookiecutter.package}}.evaluation.comparison.candidate import Candidate, candidate_of
from {{cookiecutter.package}}.evaluation.comparison.disagreements import Opinion, disagreements
from {{cookiecutter.package}}.evaluation.outputs import SplitOutputs, save_outputs
from {{cookiecutter.package}}.evaluation.record import RunRecord

SUMMARY: dict[str, Any] = {
    "model": "CNN",
    "monitor": "val/loss",
    "test/f1": 0.5,
    "seconds": 1,
    "milliseconds_per_image": 1,
    "num_trainable_parameters": 1,
    "num_parameters": 1,
    "num_epochs": 1,
    "test/classes": [{"name": "cat"}, {"name": "dog"}],
}


def run(directory: Path, names: list[str], labels: list[int], shares_of_dog: list[float]) -> Candidate:
    directory.mkdir()
    shares = np.array([[1 - share, share] for share in shares_of_dog], dtype=np.float32)
    outputs = SplitOutputs(names, np.array(labels), np.log(shares))
    save_outputs(directory, {"test": outputs})
    record = RunRecord(directory, {})
    record.__dict__["summary"] = SUMMARY
    return candidate_of(record, outputs, directory.name, by_content=False)


def test_images_are_matched_by_name_and_the_surest_come_first(tmp_path: Path) -> None:
    first = run(tmp_path / "first", ["9", "10", "8"], [0, 1, 1], [0.1, 0.6, 0.9])
    second = run(tmp_path / "second", ["8", "9", "10"], [1, 0, 1], [0.8, 0.7, 0.4])
    assert first.images == second.images == [("10", "dog"), ("8", "dog"), ("9", "cat")]
    assert (first.is_correct.tolist(), second.is_correct.tolist()) == ([True, True, True], [False, True, False])
    surest, other = disagreements(first, second)
    assert (surest.name, surest.true_class, other.name) == ("9", "cat", "10")
    assert rounded(surest.first) == Opinion("cat", 0.9, True)
    assert rounded(surest.second) == Opinion("dog", 0.7, False)


def rounded(opinion: Opinion) -> Opinion:
    return Opinion(opinion.class_name, round(opinion.probability, 5), opinion.is_correct)
