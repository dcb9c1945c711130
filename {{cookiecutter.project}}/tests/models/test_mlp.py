import pytest
import torch
from torch import nn

from {{cookiecutter.package}}.models.classifier import Activation
from {{cookiecutter.package}}.models.mlp import build_mlp


@pytest.mark.parametrize(("batch_norm", "count"), [(False, 0), (True, 2)])
def test_layers(batch_norm: bool, count: int) -> None:
    network = build_mlp(12, [8, 4], 3, dropout=0.5, batch_norm=batch_norm)
    sizes = [(layer.in_features, layer.out_features) for layer in network if isinstance(layer, nn.Linear)]
    assert sizes == [(12, 8), (8, 4), (4, 3)]
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in network) == count
    assert sum(isinstance(layer, nn.Dropout) for layer in network) == 2


def test_no_hidden_layer_is_logistic_regression() -> None:
    network = build_mlp(12, [], 3, dropout=0.0, batch_norm=False)
    assert [type(layer) for layer in network] == [nn.Flatten, nn.Linear]


@pytest.mark.parametrize(
    ("activation", "values"),  # of -1 and 1
    [("relu", [0.0, 1.0]), ("tanh", [-0.7616, 0.7616]), ("sigmoid", [0.2689, 0.7311]), ("gelu", [-0.1587, 0.8413])],
)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_hidden_layer_has_the_activation(activation: Activation, values: list[float], batch_norm: bool) -> None:
    network = build_mlp(12, [8, 4], 3, dropout=0.0, batch_norm=batch_norm, activation=activation)
    layers = [layer for layer in network if type(layer) in {nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU}]
    assert len(layers) == 2
    for layer in layers:
        assert layer(torch.tensor([-1.0, 1.0])).tolist() == pytest.approx(values, abs=1e-4)
