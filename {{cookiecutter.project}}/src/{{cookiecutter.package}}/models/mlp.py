"""A multi-layer perceptron: a simple baseline."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from ..facts import ImageFacts
from ..values import Share, Size
from .classifier import ACTIVATIONS, Activation, ImageClassifier


def build_mlp(
    num_inputs: int,
    hidden_sizes: Sequence[int],
    num_classes: int,
    dropout: float,
    batch_norm: bool,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Flatten; linear, optional batch norm, activation and dropout per hidden size; then a linear layer to logits."""
    layers: list[nn.Module] = [nn.Flatten()]
    for size in hidden_sizes:
        layers.append(nn.Linear(num_inputs, size, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm1d(size))
        layers += [ACTIVATIONS[activation](), nn.Dropout(dropout)]
        num_inputs = size
    return nn.Sequential(*layers, nn.Linear(num_inputs, num_classes))


class MLPClassifier(ImageClassifier):
    """A multi-layer perceptron over all pixels.

    Args:
        facts: facts of the data set.
        hidden_sizes: number of units of each hidden layer.
        dropout: dropout rate of the hidden units.
        batch_norm: use batch norm in each hidden layer.
        activation: activation function of the hidden layers.
        training: training settings; see ``ImageClassifier``.
    """

    def __init__(
        self,
        facts: ImageFacts,
        hidden_sizes: Sequence[Size] = (256, 128),
        dropout: Share = 0.2,
        batch_norm: bool = False,
        activation: Activation = "relu",
        **training: Any,
    ) -> None:
        super().__init__(facts, **training)
        num_inputs = self.facts.num_channels * self.facts.image_size**2
        num_classes = self.facts.num_classes
        self.network = build_mlp(num_inputs, hidden_sizes, num_classes, dropout, batch_norm, activation)
