"""The metrics, from torchmetrics, each accumulated over an epoch and over all processes."""

from __future__ import annotations

from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)


class StageMetrics(nn.Module):
    """Loss, accuracy and, but for training, macro-F1 of a stage: accumulated on the device, computed once an epoch.

    Logging at every step instead took 40 % of a small network's training.

    Args:
        stage: prefix of the names: ``train``, ``val`` or ``test``.
        num_classes: K.
    """

    def __init__(self, stage: str, num_classes: int) -> None:
        super().__init__()
        self.stage = stage
        self.loss = MeanMetric(nan_strategy="disable")  # to look for NaN is to wait for the device
        scores: dict[str, Metric | MetricCollection] = {"acc": MulticlassAccuracy(num_classes, average="micro")}
        if stage != "train":
            scores["f1"] = MulticlassF1Score(num_classes, average="macro")
        self.scores = MetricCollection(scores)

    def update(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Add a batch: its mean loss, logits (N, K) and targets (N,)."""
        self.loss.update(loss.detach(), len(targets))
        self.scores.update(logits.detach(), targets)

    def compute(self) -> dict[str, Tensor]:
        """Values by name over all images and processes since the last call, which begins anew."""
        values = {"loss": self.loss.compute(), **self.scores.compute()}
        self.loss.reset()
        self.scores.reset()
        return {f"{self.stage}/{name}": value for name, value in values.items()}


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
