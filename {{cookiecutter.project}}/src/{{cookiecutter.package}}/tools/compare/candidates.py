"""The candidates of a comparison: runs with a test result, and baselines that are fitted on the images of a run."""

import logging
import os
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ...data import DATA_MODULES
from ...engine.images import LabelledImages
from ...engine.record import CONFIG, LAST, SUMMARY, RunRecord, find_run, find_runs, read_run
from ...engine.results import SplitOutputs, accuracy_interval
from ...engine.splits import Split
from ...errors import UserError, some
from ..pages.rendering import duration

MAJORITY = "majority class"
NEEDED = {"recipe", "seed", "model", "monitor", "seconds", "milliseconds_per_image", "num_epochs"}  # of a summary
NEEDED |= {"test/acc", "test/f1", "test/classes"}
MAX_TRAIN_IMAGES = 20_000
MAX_SIDE = 32

AnyCandidate = TypeVar("AnyCandidate", bound="Candidate")

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A baseline, or a run."""

    name: str  # distinguishes it from the others
    summary: dict[str, Any]  # results and facts by their names in ``summary.json``; a baseline has only some of them
    is_correct: NDArray[np.bool_]  # (N,) whether each test image is classified correctly

    @property
    def accuracy(self) -> float:
        return float(self.is_correct.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return accuracy_interval(self.is_correct)


@dataclass(frozen=True, eq=False)
class Run(Candidate):
    """A run with a test result."""

    # N pairs that identify the test images across runs: content and class, or name and class; sorted.
    keys: list[tuple[str | int, str]]
    record: RunRecord
    outputs: SplitOutputs  # for the test images, in the order of ``keys``


def best_first(candidates: Iterable[AnyCandidate]) -> list[AnyCandidate]:
    """Sorted by accuracy, then by training time."""
    return sorted(candidates, key=lambda candidate: (-candidate.accuracy, candidate.summary["seconds"]))


def read_candidates(paths: Sequence[Path]) -> tuple[list[Run], list[Path]]:
    """Read the runs with a test result, in the order given; also returns the directories of the others, with a warning.

    A run with a damaged file is one of the others.
    """
    tested: dict[Path, tuple[RunRecord, SplitOutputs]] = {}
    others = []
    for directory in run_directories(paths):
        try:
            record, outputs = read_tested(directory)
        except UserError as error:
            log.warning("%s is left out: %s", directory, error)
            others.append(directory)
        else:
            tested[directory] = record, outputs
    if not tested:
        raise UserError(
            f"no run has a test result: {some([str(path) for path in others])}. Complete a fit, and compare again."
        )
    names = short_names(list(tested))
    by_content = all(outputs.digests is not None for _, outputs in tested.values())  # older runs have no digests
    runs = [candidate_of(*run, names[directory], by_content=by_content) for directory, run in tested.items()]
    return runs, others


def read_tested(directory: Path) -> tuple[RunRecord, SplitOutputs]:
    """Read all files of a run that a comparison needs; raises a UserError if it has no test result."""
    record = read_run(directory, DATA_MODULES)
    outputs = record.outputs("test") if record.summary else None
    if outputs is None:
        raise UserError("it has no test result.")
    if missing := NEEDED - record.summary.keys():
        raise UserError(f"its {SUMMARY} has no {min(missing)!r}.")
    if not np.isclose(record.summary["test/acc"], outputs.is_correct.mean(), atol=1e-3):
        raise UserError(f"its {SUMMARY} has another test/acc than its outputs.")
    _ = record.epochs  # read by the page
    return record, outputs


def run_directories(paths: Sequence[Path]) -> list[Path]:
    """Each run once, in the order given; a path is a run directory, a folder of runs, or ``last``, the newest run."""
    found: dict[Path, Path] = {}
    for path in paths:
        if path == Path(LAST) and not path.exists():
            path = find_run(path, "RUN", lambda run: (run / SUMMARY).is_file(), "has a test result")
        directories = [path] if (path / CONFIG).is_file() else find_runs(path)
        if not directories:
            raise UserError(
                f"{str(path)!r} is not a run directory and does not contain one. Give run directories that fit has "
                "written, such as runs/digits_cnn/<date-time>, or a folder of them, such as runs."
            )
        for directory in directories:
            found.setdefault(directory.resolve(), directory)
    return list(found.values())


def short_names(directories: Sequence[Path]) -> dict[Path, str]:
    """For each directory, the shortest unique beginning of its path below the common folder."""
    parts = {directory: directory.resolve().parts for directory in directories}
    common = Path(os.path.commonpath([directory.resolve() for directory in directories]))
    num_common = min(len(common.parts), *(len(own) - 1 for own in parts.values()))
    below = {directory: own[num_common:] for directory, own in parts.items()}
    names = {}
    for directory, own in below.items():
        lengths = (n for n in range(1, len(own)) if sum(other[:n] == own[:n] for other in below.values()) == 1)
        names[directory] = "/".join(own[: next(lengths, len(own))])
    return names


def candidate_of(record: RunRecord, outputs: SplitOutputs, name: str, *, by_content: bool) -> Run:
    """A run with its outputs for the test split; images are identified by their digests or by their names."""
    names, labels, digests = outputs.names, outputs.labels, outputs.digests
    images = digests.tolist() if by_content and digests is not None else names
    keys = [(image, record.class_names[label]) for image, label in zip(images, labels, strict=True)]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    digests = None if digests is None else digests[order]
    outputs = SplitOutputs([names[i] for i in order], labels[order], outputs.logits[order], digests)
    return Run(name, record.summary, outputs.is_correct, [keys[i] for i in order], record, outputs)


def by_test_images(runs: Sequence[Run]) -> list[list[Run]]:
    """Groups of runs with the same test images, in the order of their first runs."""
    groups: dict[tuple[tuple[str | int, str], ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(run.keys), []).append(run)
    return list(groups.values())


def open_split(record: RunRecord, split: Split) -> LabelledImages:
    """A split of the run's data set; raises UserError if its files are missing or have changed."""
    try:
        return record.data.split(split)
    except (OSError, RuntimeError) as error:  # torchvision raises RuntimeError if the files of MNIST are missing
        raise UserError(f"the images of {str(record.directory)!r} cannot be read: {error}") from error


def measure_baselines(run: Run) -> list[Candidate]:
    """Fit each baseline on a run's training images, and measure it on the run's test images.

    Times are those of fitting and of predicting, without the downscaling.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = open_split(run.record, "train"), open_split(run.record, "test")
    # Older runs have no digests, and a hash of names instead of contents.
    if run.outputs.digests is not None and run.record.data.split_hash != run.summary["split_hash"]:
        raise UserError(
            f"--baselines: the images of {str(run.record.directory)!r} have changed since it was trained and "
            "tested. Restore the data set, train again, or compare without --baselines."
        )
    positions = {name: position for position, name in enumerate(test.names)}
    train_pixels, train_labels = downscaled(train, stratified_sample(train.labels.numpy(), MAX_TRAIN_IMAGES))
    test_pixels, test_labels = downscaled(test, np.array([positions[name] for name in run.outputs.names]))
    log.info("fitting baselines on %s images", f"{len(train_labels):,}")
    estimators: dict[str, Any] = {
        MAJORITY: DummyClassifier(strategy="most_frequent"),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)),
        "nearest neighbour": KNeighborsClassifier(n_neighbors=1, algorithm="brute"),
    }
    baselines = []
    for name, estimator in estimators.items():
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # after 200 steps, its accuracy hardly changes
            estimator.fit(train_pixels, train_labels)
        fitted = time.perf_counter()
        predicted = estimator.predict(test_pixels)
        end = time.perf_counter()
        log.info("%s: %s", name, duration(end - start))
        summary = {
            "model": "baseline",
            "test/f1": float(f1_score(test_labels, predicted, average="macro", zero_division=0)),
            "seconds": fitted - start,
            "milliseconds_per_image": 1000 * (end - fitted) / len(test_labels),
            "num_train_images": len(train_labels),
        }
        baselines.append(Candidate(name, summary, predicted == test_labels))
    return baselines


def stratified_sample(labels: NDArray[np.int64], limit: int, seed: int = 0) -> NDArray[np.int64]:
    """Sorted positions of at most ``limit`` images, each class in proportion."""
    num, shuffled = min(limit, len(labels)), np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[np.arange(num) * len(labels) // num])  # evenly spaced


def downscaled(split: LabelledImages, positions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Pixels, float32 (N, F), 0 to 255, each the mean of those that it replaces, and labels, int64 (N,)."""
    chunks = []
    for index in torch.split(torch.from_numpy(positions), 1024):  # images converted to float at a time
        images = split.images[index].float()
        factor = min(1.0, MAX_SIDE / max(images.shape[2:]))
        size = [max(1, round(factor * side)) for side in images.shape[2:]]
        chunks.append(F.interpolate(images, size=size, mode="area").flatten(1))
    return torch.cat(chunks).numpy(), split.labels.numpy()[positions]
