"""Metrics from torchmetrics, accumulated over an epoch and all processes."""

from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection, SumMetric, classification

from ..facts import mode_of
from .private import mark_updated

NUM_HELD = 16  # batches whose logits are collected before metrics are updated


class StageMetrics(nn.Module):
    """The mean loss and other metrics of a stage, computed once per epoch from logits (N, K) and targets (N,).

    Logging at every step took 40 % of the training time of a small network, and updating torchmetrics 8 %.
    """

    def __init__(self, stage: str, metrics: dict[str, Metric]) -> None:
        super().__init__()
        for name, metric in metrics.items():
            if metric.higher_is_better is not None and metric.higher_is_better != (mode_of(name) == "max"):
                raise ValueError(
                    f"metric {name!r} is best when it is {'high' if metric.higher_is_better else 'low'}; the names of "
                    "metrics whose low values are best, and only these, must end in 'loss' or 'error'"
                )
        self.stage = stage
        # A check for NaN would wait for the device. MeanMetric ignores weights if it is disabled (torchmetrics 1.9).
        self.loss_sum, self.num_images = SumMetric(nan_strategy="disable"), SumMetric(nan_strategy="disable")
        self.scores = MetricCollection(dict(metrics))
        self._held: list[tuple[Tensor, Tensor, Tensor]] = []  # loss, logits and targets of a batch

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

    def compute(self) -> dict[str, Tensor]:
        """Values by name over all images and processes since the last call; resets the metrics."""
        self._update_held()
        values = {"loss": self.loss_sum.compute() / self.num_images.compute(), **self.scores.compute()}
        for metric in (self.loss_sum, self.num_images, self.scores):
            metric.reset()
        return {f"{self.stage}/{name}": value for name, value in values.items()}

    def state(self) -> dict[str, Any]:
        """Sums since the last ``compute``, and the batches held back: to add them now would change the rounding."""
        sums = {
            f"{name}/{part}": value for name, metric in self._parts() for part, value in metric.metric_state.items()
        }
        return {"sums": sums, "held": list(self._held)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state, possibly in another process."""
        state = move_data_to_device(state, self.num_images.device)
        for name, metric in self._parts():
            for part in metric.metric_state:
                setattr(metric, part, state["sums"][f"{name}/{part}"])
            mark_updated(metric)
        self._held = state["held"]

    def _parts(self) -> list[tuple[str, Metric]]:
        return [("loss_sum", self.loss_sum), ("num_images", self.num_images), *self.scores.items()]


def per_class_metrics(num_classes: int) -> MetricCollection:
    """Precision, recall and F1, each (K,), and the confusion matrix (K, K) with true classes as rows."""
    return MetricCollection(
        {
            "precision": classification.MulticlassPrecision(num_classes, average=None),
            "recall": classification.MulticlassRecall(num_classes, average=None),
            "f1": classification.MulticlassF1Score(num_classes, average=None),
            "confusion": classification.MulticlassConfusionMatrix(num_classes),
        }
    )
