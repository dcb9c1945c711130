import pytest
import torch

from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.engine.preprocessing import MixSettings, Preprocess, build_mix
from {{cookiecutter.package}}.models import MLPClassifier


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


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Eight images of one brightness each, as bright as their number says, of three classes."""
    labels = torch.arange(8) % 3
    return (torch.arange(8.0) * 30).view(8, 1, 1, 1).expand(8, 3, 16, 16).clone(), labels


@pytest.mark.parametrize("name", ["mixup", "cutmix", "both"])
def test_labels_are_mixed_as_the_pixels_are(name: str) -> None:
    torch.manual_seed(0)
    mix = build_mix(MixSettings(name), num_classes=3)  # type: ignore[arg-type]
    assert mix is not None
    images, labels = batch()
    mixed, soft = mix(images, labels)
    assert soft.shape == (8, 3)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(8))
    brightness, partner = images.mean(dim=(1, 2, 3)), images.roll(1, 0).mean(dim=(1, 2, 3))
    share = (mixed.mean(dim=(1, 2, 3)) - partner) / (brightness - partner)  # of the image itself
    own = torch.nn.functional.one_hot(labels, 3) * share[:, None]
    other = torch.nn.functional.one_hot(labels.roll(1), 3) * (1 - share)[:, None]
    torch.testing.assert_close(soft, own + other, atol=1e-4, rtol=1e-4)
    assert 0 < share.mean() < 1


def test_none_mixes_nothing() -> None:
    assert build_mix(MixSettings(), num_classes=3) is None


def test_only_training_is_mixed(facts: ImageFacts) -> None:
    torch.manual_seed(0)
    model = MLPClassifier(facts, dropout=0.0, mix=MixSettings("mixup"))
    images, labels = batch()
    plain = model.loss(model(images), labels)
    assert not torch.isclose(model.training_step((images, labels), 0), plain)
    model.validation_step((images, labels), 0)
    torch.testing.assert_close(model.val_metrics.compute()["val/loss"], plain)
