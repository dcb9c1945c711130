from dataclasses import replace

import pytest
import torch

from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import CNNClassifier
from {{cookiecutter.package}}.models.classifier import ACTIVATIONS, Activation
from {{cookiecutter.package}}.models.cnn import Pool, build_cnn


def test_each_block_halves_the_side(facts: ImageFacts) -> None:
    network = build_cnn(facts, [4, 8], 2, "average", dropout=0.0)
    images = torch.zeros(2, 3, 16, 16)
    shapes = []
    for layer in network[:2]:
        images = layer(images)
        shapes.append(tuple(images.shape))
    assert shapes == [(2, 4, 8, 8), (2, 8, 4, 4)]


@pytest.mark.parametrize(("pool", "num_features"), [("average", 8), ("max", 8), ("none", 8 * 3 * 3)])
def test_pools(facts: ImageFacts, pool: Pool, num_features: int) -> None:
    network = build_cnn(replace(facts, image_size=14), [4, 8], 1, pool, dropout=0.0)
    assert network[-1].in_features == num_features
    assert network(torch.zeros(2, 3, 14, 14)).shape == (2, 3)


def test_too_many_blocks_for_the_image(facts: ImageFacts) -> None:
    with pytest.raises(UserError, match=r"model\.widths has 5 blocks.*16 pixels allow 1 to 4"):
        CNNClassifier(facts, widths=[4] * 5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_convolution_has_the_activation(activation: Activation, facts: ImageFacts) -> None:
    network = build_cnn(facts, [4, 8], 2, "average", dropout=0.0, activation=activation)
    names = [type(module).__name__.lower() for module in network.modules()]
    assert [name for name in names if name in ACTIVATIONS] == [activation] * 4
