"""Candidates of a comparison: runs and baselines with their test results."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...models.monitor import MODES
from ..intervals import accuracy_interval
from ..outputs import SplitOutputs
from ..record import EpochMetrics, RunRecord

MARK = "*"  # beside a number that needs a note


@dataclass(frozen=True, eq=False)
class Candidate:
    """A tested run or a baseline.

    Attributes:
        name: distinguishes it from the others.
        model: class of its model, or the kind of baseline.
        images: name and true class of each of its N test images.
        keys: keys that identify images across candidates: content and class, or name and class; sorted.
        is_correct: (N,) whether each image is classified correctly, in the order of ``keys``.
        f1: macro-F1.
        seconds: training time.
        milliseconds_per_image: prediction time.
        num_train_images: number of training images; None if the run did not record it.
        num_trained: number of parameters trained at the end; like the next three, None for a baseline.
        num_parameters: all parameters.
        num_epochs: number of trained epochs.
        best_epoch: epoch of the tested weights, counted from 1.
        record: record of the run; None for a baseline.
        outputs: outputs for the test images, in the order of ``keys``; None for a baseline.
        notes: restrictions of its results.
    """

    name: str
    model: str
    images: list[tuple[str, str]]
    keys: list[tuple[str, str]]
    is_correct: NDArray[np.bool_]
    f1: float
    seconds: float
    milliseconds_per_image: float
    num_train_images: int | None = None
    num_trained: int | None = None
    num_parameters: int | None = None
    num_epochs: int | None = None
    best_epoch: int | None = None
    record: RunRecord | None = None
    outputs: SplitOutputs | None = None
    notes: tuple[str, ...] = ()

    @property
    def accuracy(self) -> float:
        return float(self.is_correct.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return accuracy_interval(self.is_correct)


def candidate_of(record: RunRecord, outputs: SplitOutputs, name: str, *, by_content: bool) -> Candidate:
    """A run with a summary.

    Args:
        record: of the run.
        outputs: of its test split.
        name: to show.
        by_content: whether images are known by their digests, and not by their names.
    """
    summary, outputs = record.summary, in_one_order(outputs, by_content=by_content)
    classes = [record.class_names[label] for label in outputs.labels]
    return Candidate(
        name=name,
        model=summary["model"],
        images=list(zip(outputs.names, classes, strict=True)),
        keys=list(zip(image_keys(outputs, by_content=by_content), classes, strict=True)),
        is_correct=outputs.is_correct,
        f1=summary["test/f1"],
        seconds=summary["seconds"],
        milliseconds_per_image=summary["milliseconds_per_image"],
        num_train_images=summary.get("num_train_images"),
        num_trained=summary["num_trainable_parameters"],
        num_parameters=summary["num_parameters"],
        num_epochs=summary["num_epochs"],
        best_epoch=best_epoch(record.epochs, summary["monitor"]),
        record=record,
        outputs=outputs,
        notes=tuple(summary.get("notes", ())),
    )


def image_keys(outputs: SplitOutputs, *, by_content: bool) -> list[str]:
    """A key for each image: its digest in hexadecimal, or its name."""
    if not by_content:
        return outputs.names
    assert outputs.digests is not None
    return [f"{digest & 0xFFFFFFFFFFFFFFFF:016x}" for digest in outputs.digests.tolist()]


def in_one_order(outputs: SplitOutputs, *, by_content: bool) -> SplitOutputs:
    """The outputs in the common order of all candidates."""
    keys = image_keys(outputs, by_content=by_content)
    order = sorted(range(len(outputs)), key=lambda position: (keys[position], outputs.labels[position]))
    digests = None if outputs.digests is None else outputs.digests[order]
    return SplitOutputs([outputs.names[i] for i in order], outputs.labels[order], outputs.logits[order], digests)


def best_epoch(epochs: list[EpochMetrics], monitor: str) -> int | None:
    """The first epoch with the best value of the monitored metric, counted from 1; None if it was never measured."""
    values = {
        int(epoch["epoch"]) + 1: epoch[monitor] for epoch in epochs if not math.isnan(epoch.get(monitor, math.nan))
    }
    if not values:
        return None
    choose = {"min": min, "max": max}[next(mode for metric, mode in MODES.items() if metric == monitor)]
    return choose(values, key=lambda epoch: values[epoch])


def best_first(candidates: list[Candidate]) -> list[Candidate]:
    """Sorted by accuracy, then by training time."""
    return sorted(candidates, key=lambda candidate: (-candidate.accuracy, candidate.seconds))
