"""A multi-layer perceptron: a simple baseline."""

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
    """Flatten, then linear, optional batch norm, ReLU and dropout per hidden size, then a linear layer to logits."""
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
        facts: facts of the data set; set by the CLI.
        hidden_sizes: number of units of each hidden layer.
        dropout: dropout rate of the hidden units.
        batch_norm: use batch norm in each hidden layer.
        optimizer: optimizer settings.
        schedule: learning-rate schedule settings.
        label_smoothing: share of the target that is spread over all classes.
        mix: mixup and CutMix settings.
        monitor: metric that the plateau schedule watches; set by the CLI.
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
