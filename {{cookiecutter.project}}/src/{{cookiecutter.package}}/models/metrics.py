"""Metrics from torchmetrics, accumulated over an epoch and all processes."""

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
    """State of the metrics of one process, to be saved in a checkpoint."""

    sums: dict[str, Tensor]
    held: list[Held]


NUM_HELD = 16  # batches whose logits are collected before metrics are updated


class StageMetrics(nn.Module):
    """Loss and accuracy of a stage and, except in training, macro-F1 and balanced accuracy, computed once per epoch.

    Logging at every step took 40 % of the training time of a small network, and updating torchmetrics at every step
    8 %. So metrics are updated for several batches at once.

    Args:
        stage: prefix of the names: ``train``, ``val`` or ``test``.
        num_classes: K.
    """

    def __init__(self, stage: str, num_classes: int) -> None:
        super().__init__()
        self.stage = stage
        # A check for NaN would wait for the device. MeanMetric ignores weights if it is disabled (torchmetrics 1.9).
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
        """State since the last ``compute``: the sums by name, and the batches not yet added to them.

        Adding these batches now would change the rounding compared with an uninterrupted training.
        """
        sums = {
            f"{name}/{part}": value
            for name, metric in self._metrics()
            for part, value in metric.metric_state.items()
            if isinstance(value, Tensor)  # always true: only metrics that store every prediction use lists
        }
        return {"sums": sums, "held": list(self._held)}

    def load_state(self, state: MetricsState) -> None:
        """Restore the state that ``state`` returned, possibly in another process."""
        for name, metric in self._metrics():
            for part in metric.metric_state:
                setattr(metric, part, state["sums"][f"{name}/{part}"].to(metric.device))
            metric._update_count = 1  # else compute() would warn that the metric was never updated
        device = self.num_images.device
        self._held = [
            (loss.to(device), logits.to(device), targets.to(device)) for loss, logits, targets in state["held"]
        ]

    def _metrics(self) -> list[tuple[str, Metric]]:
        return [("loss_sum", self.loss_sum), ("num_images", self.num_images), *self.scores.items()]

    def compute(self) -> dict[str, Tensor]:
        """Values by name over all images and processes since the last call; resets the metrics."""
        self._update_held()
        values = {"loss": self.loss_sum.compute() / self.num_images.compute(), **self.scores.compute()}
        for metric in (self.loss_sum, self.num_images, self.scores):
            metric.reset()
        return {f"{self.stage}/{name}": value for name, value in values.items()}


def per_class_metrics(num_classes: int) -> MetricCollection:
    """Precision, recall and F1, each (K,), and the confusion matrix (K, K) with true classes as rows."""
    return MetricCollection(
        {
            "precision": MulticlassPrecision(num_classes, average=None),
            "recall": MulticlassRecall(num_classes, average=None),
            "f1": MulticlassF1Score(num_classes, average=None),
            "confusion": MulticlassConfusionMatrix(num_classes),
        }
    )
