import pytest
from torch import nn

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
