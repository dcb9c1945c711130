"""A multi-layer perceptron: the baseline that anything larger must beat."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..data.facts import ImageFacts
from .base import ImageClassifier
from .mixing import MixSettings
from .monitor import Monitor
from .optimizers import OptimizerSettings
from .schedules import ScheduleSettings
from .settings import require_range


def build_mlp(
    num_inputs: int, hidden_sizes: Sequence[int], num_classes: int, dropout: float, batch_norm: bool
) -> nn.Sequential:
    """Flatten, then linear, batch norm if asked for, ReLU and dropout for each hidden size, then the logits."""
    layers: list[nn.Module] = [nn.Flatten()]
    for size in hidden_sizes:
        layers.append(nn.Linear(num_inputs, size, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(size))
        layers += [nn.ReLU(inplace=True), nn.Dropout(dropout)]
        num_inputs = size
    return nn.Sequential(*layers, nn.Linear(num_inputs, num_classes))


class MLPClassifier(ImageClassifier):
    """A multi-layer perceptron over all pixels.

    Args:
        facts: of the data set; the CLI fills them in.
        hidden_sizes: units of each hidden layer.
        dropout: share of hidden units zeroed in training.
        batch_norm: normalise each hidden layer over the batch.
        optimizer: how weights are updated.
        schedule: how the learning rate changes.
        label_smoothing: share of the target spread over all classes.
        mix: whether training images are mixed in pairs.
        monitor: the metric that the plateau schedule watches; the CLI fills it in.
    """

    def __init__(
        self,
        facts: ImageFacts,
        hidden_sizes: Sequence[int] = (256, 128),
        dropout: float = 0.2,
        batch_norm: bool = False,
        optimizer: OptimizerSettings = OptimizerSettings(),
        schedule: ScheduleSettings = ScheduleSettings(),
        label_smoothing: float = 0.0,
        mix: MixSettings = MixSettings(),
        monitor: Monitor = "val/loss",
    ) -> None:
        super().__init__(facts, optimizer, schedule, label_smoothing, mix, monitor)
        require_range("model.dropout", dropout, 0.0, 1.0)
        self.save_hyperparameters(logger=False)
        num_inputs = self.facts.num_channels * self.facts.image_size**2
        self.network = build_mlp(num_inputs, hidden_sizes, self.facts.num_classes, dropout, batch_norm)
