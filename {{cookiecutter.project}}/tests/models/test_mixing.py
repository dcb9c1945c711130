import pytest
import torch

from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import MLPClassifier
from {{cookiecutter.package}}.models.mixing import MixSettings, build_mix


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


def test_wrong_alpha_is_echoed() -> None:
    with pytest.raises(UserError, match=r"model\.mix\.alpha is 0; it must be above 0"):
        MixSettings("mixup", alpha=0)
