import pytest
import torch

from {{cookiecutter.package}}.models.preprocessing import Preprocess


def test_scales_and_normalises() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    pixels = Preprocess([0.5], [0.25])(images)
    assert pixels.dtype == torch.float32
    assert pixels.flatten().tolist() == pytest.approx([-2.0, 2.0])


def test_floats_are_in_the_same_range() -> None:
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8)
    layer = Preprocess([0.5] * 3, [0.2] * 3)
    assert torch.equal(layer(images), layer(images.float()))


def test_three_means_make_rgb_of_grey() -> None:
    grey = torch.full((2, 1, 4, 4), 51, dtype=torch.uint8)
    pixels = Preprocess([0.2, 0.1, 0.0], [1.0, 1.0, 1.0])(grey)
    assert pixels.shape == (2, 3, 4, 4)
    assert pixels.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0.0, 0.1, 0.2])


def test_resizes() -> None:
    images = torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)
    pixels = Preprocess([0.0], [1.0], input_size=20)(images)
    assert pixels.shape == (2, 1, 20, 20)
    assert pixels.min().item() == pytest.approx(1.0)


def test_mean_and_std_are_part_of_the_state() -> None:
    trained, loaded = Preprocess([0.3], [0.4]), Preprocess([0.0], [1.0])
    loaded.load_state_dict(trained.state_dict())
    images = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    assert torch.equal(trained(images), loaded(images))
