"""What the page shows of a model besides predictions: its test result, its threshold and some of its test images."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.calibration import answers_at
from ...engine.reading import Count, Share, checked, read_csv
from ...engine.record import RunRecord, read_run
from ...engine.results import accuracy_interval
from ...engine.run_directory import BEST_CHECKPOINT, CONFIG, DAMAGED, PREDICTIONS
from ...errors import UserError
from ...predictor import DESCRIPTION, Predictor

log = logging.getLogger(__name__)

COVERAGE = 0.95  # share of the validation images for which a run's model is sure enough
NUM_EXAMPLES = 4  # of correct and of wrong predictions


@dataclass(frozen=True)
class Example:
    """A test image of a run."""

    file: Path
    true_class: str
    predicted_class: str

    @property
    def is_correct(self) -> bool:
        return self.true_class == self.predicted_class


@dataclass(frozen=True)
class Result:
    """Accuracy on the test images, with the ends of its 95 % interval."""

    accuracy: Share
    low: Share
    high: Share
    num_images: Count


@dataclass(frozen=True)
class Subject:
    """A model and what is known of it; ``threshold`` is the probability below which the page says "not sure"."""

    predictor: Predictor
    model: str
    threshold: float = 0.0
    result: Result | None = None
    examples: list[Example] = field(default_factory=list)


def subject_of_export(predictor: Predictor, description: Mapping[str, Any]) -> Subject:
    known, what = description.get("test"), f"the test result of {DESCRIPTION}"
    result = None if known is None else checked(known, Result, what, "Export again.")
    return Subject(predictor, description.get("model", "Image classifier"), predictor.abstain_below, result)


def subject_of_run(predictor: Predictor, checkpoint: Path) -> Subject:
    """The results belong to the best checkpoint of a run: of others, only the model is known."""
    model = type(getattr(predictor, "classifier", predictor)).__name__
    directory = checkpoint.parents[1] if len(checkpoint.parts) > 2 else checkpoint.parent
    if directory / BEST_CHECKPOINT != checkpoint or not (directory / CONFIG).is_file():
        return Subject(predictor, model)
    try:
        run = read_run(directory)
        return Subject(predictor, model, threshold_of(run), result_of(run), choose(examples_of(run)))
    except UserError as error:
        log.warning("The page shows no results of this model: %s", error)
        return Subject(predictor, model)


def threshold_of(run: RunRecord) -> float:
    """The threshold that ``COVERAGE`` of the validation images reach; 0, which is never unsure, without outputs."""
    val, test = run.outputs("val"), run.outputs("test")
    return answers_at(val, test, COVERAGE).threshold if val and test else 0.0


def result_of(run: RunRecord) -> Result | None:
    confusion = np.array(run.summary.get("test/confusion", []))
    if not confusion.sum():
        return None
    num_correct, num = int(np.trace(confusion)), int(confusion.sum())
    low, high = accuracy_interval(np.arange(num) < num_correct)
    return Result(num_correct / num, low, high, num)


def examples_of(run: RunRecord) -> list[Example]:
    """The test images whose files are there, most confident predictions first; none of a data set without files."""
    root, table = run.config["data"].get("init_args", {}).get("root"), run.directory / PREDICTIONS
    if not root or not table.is_file():
        return []
    folder = next(
        (at for at in (Path(root), Path(run.environment.get("working_directory", ""), root)) if at.is_dir()), None
    )
    if folder is None:
        return []
    try:
        read = read_csv(table, ("path", "true_class", "predicted_class", "probability"), DAMAGED)
        rows = sorted(read, key=lambda row: -float(row["probability"]))
    except ValueError as error:
        raise UserError(f"{str(table)!r} cannot be used: {error}. {DAMAGED}") from error
    examples = (Example(folder / row["path"], row["true_class"], row["predicted_class"]) for row in rows)
    return [example for example in examples if example.file.is_file()]


def choose(examples: list[Example]) -> list[Example]:
    """``NUM_EXAMPLES`` correct predictions, of different classes if possible, then as many wrong ones."""
    correct = in_turns(example for example in examples if example.is_correct)
    wrong = [example for example in examples if not example.is_correct]
    return [*islice(correct, NUM_EXAMPLES), *wrong[:NUM_EXAMPLES]]


def in_turns(examples: Iterable[Example]) -> list[Example]:
    """One of each class, then a second one of each, and so on."""
    seen: dict[str, int] = {}
    ranked = []
    for example in examples:
        seen[example.true_class] = seen.get(example.true_class, 0) + 1
        ranked.append((seen[example.true_class], example))
    return [example for _, example in sorted(ranked, key=lambda pair: pair[0])]
