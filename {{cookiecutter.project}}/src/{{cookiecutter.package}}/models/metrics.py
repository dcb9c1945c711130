"""The metrics, from torchmetrics, each accumulated over an epoch and over all processes."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection, SumMetric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

Held = tuple[Tensor, Tensor, Tensor]  # loss, logits and targets of a batch


class MetricsState(TypedDict):
    """Of the metrics of one process, to be kept in a checkpoint."""

    sums: dict[str, Tensor]
    held: list[Held]


NUM_HELD = 16  # batches whose logits wait on the device


class StageMetrics(nn.Module):
    """Loss, accuracy and, but for training, macro-F1 and balanced accuracy of a stage, computed once an epoch.

    Logging at every step instead took 40 % of a small network's training. Updating torchmetrics at every step still
    took 8 %, so that it is done for several batches together.

    Args:
        stage: prefix of the names: ``train``, ``val`` or ``test``.
        num_classes: K.
    """

    def __init__(self, stage: str, num_classes: int) -> None:
        super().__init__()
        self.stage = stage
        # To look for NaN is to wait for the device. A MeanMetric told not to look loses its weights (torchmetrics 1.9).
        self.loss_sum, self.num_images = SumMetric(nan_strategy="disable"), SumMetric(nan_strategy="disable")
        scores: dict[str, Metric | MetricCollection] = {"acc": MulticlassAccuracy(num_classes, average="micro")}
        if stage != "train":
            scores["f1"] = MulticlassF1Score(num_classes, average="macro")
            scores["balanced_acc"] = MulticlassAccuracy(num_classes, average="macro")
        self.scores = MetricCollection(scores)
        self._held: list[Held] = []

    def update(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Add a batch: its mean loss, logits (N, K) and targets (N,)."""
        self._held.append((loss.detach(), logits.detach(), targets))
        if len(self._held) == NUM_HELD:
            self._update_held()

    def _update_held(self) -> None:
        if self._held:
            losses, logits, targets = zip(*self._held, strict=True)
            self._held.clear()
            sizes = [len(batch) for batch in targets]
            self.loss_sum.update(sum(size * loss for size, loss in zip(sizes, losses, strict=True)))
            self.num_images.update(sum(sizes))
            self.scores.update(torch.cat(logits), torch.cat(targets))

    def state(self) -> MetricsState:
        """What has been added since the last ``compute``: sums by name, and batches that wait, which stay apart.

        To add these up now would round otherwise than a training that is not saved here.
        """
        sums = {
            f"{name}/{part}": value
            for name, metric in self._metrics()
            for part, value in metric.metric_state.items()
            if isinstance(value, Tensor)  # all are: lists are for metrics that keep every prediction
        }
        return {"sums": sums, "held": list(self._held)}

    def load_state(self, state: MetricsState) -> None:
        """Go on from what ``state`` gave, in another process."""
        for name, metric in self._metrics():
            for part in metric.metric_state:
                setattr(metric, part, state["sums"][f"{name}/{part}"].to(metric.device))
            metric._update_count = 1  # or compute() would warn of a metric that was never updated
        device = self.num_images.device
        self._held = [
            (loss.to(device), logits.to(device), targets.to(device)) for loss, logits, targets in state["held"]
        ]

    def _metrics(self) -> list[tuple[str, Metric]]:
        return [("loss_sum", self.loss_sum), ("num_images", self.num_images), *self.scores.items()]

    def compute(self) -> dict[str, Tensor]:
        """Values by name over all images and processes since the last call, which begins anew."""
        self._update_held()
        values = {"loss": self.loss_sum.compute() / self.num_images.compute(), **self.scores.compute()}
        for metric in (self.loss_sum, self.num_images, self.scores):
            metric.reset()
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
