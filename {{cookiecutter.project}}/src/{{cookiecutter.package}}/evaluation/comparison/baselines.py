"""Baselines for networks: the most frequent class, and two classical methods on pixels."""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ...data.labelled_images import LabelledImages
from ...data.splits import apportion
from ...errors import UserError
from ...pages.rendering import duration
from .candidate import Candidate
from .pictures import open_split

MAJORITY = "majority class"
MAX_TRAIN_IMAGES = 20_000
MAX_SIDE = 32
CHUNK = 1024  # images converted to float at a time

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pixels:
    """Downscaled images as rows of numbers: float32 (N, F), 0 to 255, and int64 labels (N,)."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]


def measure_baselines(run: Candidate) -> list[Candidate]:
    """Fit each baseline on a run's training images, and measure it on the run's test images.

    Times are those of fitting and of predicting, without the downscaling.

    Raises:
        UserError: the images are missing or have changed since the run.
    """
    assert run.record is not None
    train, test = open_split(run.record, "train"), open_split(run.record, "test")
    is_known = run.outputs is not None and run.outputs.digests is not None  # older runs have a hash of names
    if is_known and run.record.data.split_hash != run.record.summary["split_hash"]:
        raise UserError(
            f"--baselines: the images of {str(run.record.directory)!r} have changed since it was trained and "
            "tested. Restore the data set, train again, or compare without --baselines."
        )
    positions = {name: position for position, name in enumerate(test.names)}
    train_pixels = downscaled(train, stratified_sample(train.labels.numpy(), MAX_TRAIN_IMAGES))
    test_pixels = downscaled(test, np.array([positions[name] for name, _ in run.images]))
    log.info("fitting baselines on %s images", f"{len(train_pixels.labels):,}")
    return [measure(name, estimator, run, train_pixels, test_pixels) for name, estimator in build_baselines().items()]


def build_baselines() -> dict[str, Any]:
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
        MAJORITY: DummyClassifier(strategy="most_frequent"),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)),
        "nearest neighbour": KNeighborsClassifier(n_neighbors=1, algorithm="brute"),
    }


def stratified_sample(labels: NDArray[np.int64], limit: int, seed: int = 0) -> NDArray[np.int64]:
    """Sorted positions of at most ``limit`` images, each class in proportion."""
    if len(labels) <= limit:
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    classes, sizes = np.unique(labels, return_counts=True)
    shares = apportion(sizes, limit)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(classes, shares, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def downscaled(split: LabelledImages, positions: NDArray[np.int64]) -> Pixels:
    """The images at ``positions``, their longer side at most 32 pixels, each pixel the mean of those it replaces."""
    chunks = []
    for index in torch.split(torch.from_numpy(positions), CHUNK):
        images = split.images[index].float()
        height, width = images.shape[2:]
        factor = min(1.0, MAX_SIDE / max(height, width))
        size = max(1, round(factor * height)), max(1, round(factor * width))
        chunks.append(F.interpolate(images, size=size, mode="area").flatten(1))
    return Pixels(torch.cat(chunks).numpy(), split.labels.numpy()[positions])


def measure(name: str, estimator: Any, run: Candidate, train: Pixels, test: Pixels) -> Candidate:
    """Fit and test a scikit-learn estimator; the test images are in the order of ``run.images``."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import f1_score

    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its accuracy is that of the 200th step, near the end
        estimator.fit(train.features, train.labels)
    fitted = time.perf_counter()
    predicted = estimator.predict(test.features)
    predicting = time.perf_counter() - fitted
    log.info("%s: %s", name, duration(fitted - start + predicting))
    return Candidate(
        name=name,
        model="baseline",
        images=run.images,
        keys=run.keys,
        is_correct=predicted == test.labels,
        f1=float(f1_score(test.labels, predicted, average="macro", zero_division=0)),
        seconds=fitted - start,
        milliseconds_per_image=1000 * predicting / len(test.labels),
        num_train_images=len(train.labels),
    )
