"""The metrics, from torchmetrics, each accumulated over an epoch and over all processes."""

from __future__ import annotations

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
        self._held: list[tuple[Tensor, Tensor, Tensor]] = []

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
            self.loss_sum.update(0.0)
            for size, loss in zip(sizes, losses, strict=True):
                # One after the other, however many are held: a sum in another order ends in another last digit, which
                # a training that was saved in between, and resumed, would show.
                self.loss_sum.sum_value = self.loss_sum.sum_value + size * loss
            self.num_images.update(sum(sizes))
            self.scores.update(torch.cat(logits), torch.cat(targets))

    def state(self) -> dict[str, Tensor]:
        """What has been accumulated since the last ``compute``, by name."""
        self._update_held()
        return {
            f"{name}/{part}": value
            for name, metric in self._metrics()
            for part, value in metric.metric_state.items()
            if isinstance(value, Tensor)  # all are: lists are for metrics that keep every prediction
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from what ``state`` gave, in another process."""
        for name, metric in self._metrics():
            for part in metric.metric_state:
                setattr(metric, part, state[f"{name}/{part}"].to(metric.device))
            metric._update_count = 1  # or compute() would warn of a metric that was never updated

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
