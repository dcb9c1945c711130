"""The metrics, from torchmetrics, each accumulated over an epoch and over all processes."""

from __future__ import annotations

from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)


def summary_metrics(num_classes: int, prefix: str) -> MetricCollection:
    """Accuracy (share of images that are right) and macro-F1 (mean over classes, each counting the same)."""
    return MetricCollection(
        {
            "acc": MulticlassAccuracy(num_classes, average="micro"),
            "f1": MulticlassF1Score(num_classes, average="macro"),
        },
        prefix=prefix,
    )


def per_class_metrics(num_classes: int) -> MetricCollection:
    """Precision, recall and F1, each (K,), and the confusion matrix (K, K): rows are true, columns predicted."""
    return MetricCollection(
        {
            "precision": MulticlassPrecision(num_classes, average=None),
            "recall": MulticlassRecall(num_classes, average=None),
            "f1": MulticlassF1Score(num_classes, average=None),
            "confusion": MulticlassConfusionMatrix(num_classes),
        }
    )
