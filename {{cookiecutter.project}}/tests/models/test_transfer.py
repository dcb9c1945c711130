from pathlib import Path

import pytest
import torch

from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.engine import backbones
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import TransferClassifier


def build(facts: ImageFacts, **arguments: object) -> TransferClassifier:
    return TransferClassifier(facts, backbone="resnet18", weights="none", **arguments)  # type: ignore[arg-type]


def test_what_is_frozen_depends_on_the_epoch_alone(facts: ImageFacts) -> None:
    model = build(facts, head_epochs=2)
    for epoch in (3, 0, 2, 1, 0):
        model.freeze_for_epoch(epoch)
        trained = {parameter.requires_grad for parameter in model.backbone.parameters()}
        assert trained == {epoch >= 2}
        assert all(parameter.requires_grad for parameter in model.head.parameters())


def test_frozen_means_eval_mode_whatever_is_called(facts: ImageFacts) -> None:
    model = build(facts, head_epochs=1)
    model.freeze_for_epoch(0)
    model.train()
    assert not any(module.training for module in model.backbone.modules())
    assert model.head.training
    model.freeze_for_epoch(1)
    assert all(module.training for module in model.backbone.modules())


def test_last_stages_alone_are_unfrozen(facts: ImageFacts) -> None:
    model = build(facts, head_epochs=0, unfreeze=2)
    model.freeze_for_epoch(0)
    trained = [name for name, parameter in model.backbone.named_parameters() if parameter.requires_grad]
    assert {".".join(name.split(".")[:2]) for name in trained} == {"layer4.0", "layer4.1"}


def test_none_is_never_unfrozen(facts: ImageFacts) -> None:
    assert build(facts, unfreeze="none").frozen_modules(epoch=10**6)


@pytest.mark.parametrize("unfreeze", [0, 99])
def test_wrong_number_of_stages(facts: ImageFacts, unfreeze: int) -> None:
    with pytest.raises(UserError, match=rf"model\.unfreeze is {unfreeze}; allowed: all, none, or 1 to 10"):
        build(facts, unfreeze=unfreeze)


def test_expects_the_pixels_its_weights_expect(facts: ImageFacts) -> None:
    mean = build(facts).preprocess.state_dict()["mean"].flatten() / 255
    assert mean.tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_backbone_learns_at_its_share_of_the_learning_rate(facts: ImageFacts) -> None:
    groups = {group.name: group.lr_factor for group in build(facts, backbone_lr_factor=0.03).parameter_groups()}
    assert groups == {"backbone": 0.03, "head": 1.0}


def test_grey_images(facts: ImageFacts) -> None:
    grey = ImageFacts(facts.class_names, num_channels=1, image_size=8, mean=[0.5], std=[0.2])
    logits = build(grey, input_size=32).eval()(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    assert logits.shape == (2, 3)


@pytest.mark.parametrize(
    ("backbone", "weights", "image_size", "expected"),
    [
        ("resnet18", "none", 16, 16),
        ("resnet18", "file", 16, 224),
        ("resnet18", "file", 256, 256),
        ("vit_b_32", "none", 16, 224),
        ("vit_b_32", "file", 256, 224),
        ("timm/vit_tiny_patch16_224", "none", 16, 224),
        ("timm/efficientnet_lite0", "file", 8, 224),
    ],
)
def test_input_size_comes_with_the_backbone(backbone: str, weights: str, image_size: int, expected: int) -> None:
    build_one = backbones.timm_backbone if backbone.startswith("timm/") else backbones.torchvision_backbone
    with torch.device("meta"):  # sizes only: no memory, no time
        built = build_one(backbone, pretrained=False)
    assert built.side_for(image_size, pretrained=weights != "none") == expected


def test_a_checkpoint_keeps_the_input_size(facts: ImageFacts, tmp_path: Path) -> None:
    """It is loaded with weights "none", and must not forget that its own were trained on larger images."""
    torch.save(build(facts).backbone.state_dict(), tmp_path / "resnet18.pth")
    model = TransferClassifier(facts, backbone="resnet18", weights=str(tmp_path / "resnet18.pth"))
    assert model.preprocess.input_size == 224
    again = TransferClassifier(**{**model.hparams, "weights": "none"})
    assert again.preprocess.input_size == 224


def test_layers_nearer_to_the_images_learn_more_slowly(facts: ImageFacts) -> None:
    """Each stage at 0.5 of the one above it; every parameter in one group, the stem's in the first."""
    model = build(facts, layer_decay=0.5, backbone_lr_factor=0.1)
    groups = list(model.parameter_groups())
    factors = [group.lr_factor for group in groups]
    assert factors[-2:] == [0.1, 1.0]
    assert factors[:-1] == pytest.approx([0.1 * 0.5**power for power in reversed(range(len(factors) - 1))])
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    grouped = [names[id(parameter)] for group in groups for parameter in group.parameters]
    assert sorted(grouped) == sorted(names.values())
    assert "backbone.conv1.weight" in [names[id(parameter)] for parameter in groups[0].parameters]
    assert "backbone.layer4.1.conv2.weight" in [names[id(parameter)] for parameter in groups[-2].parameters]


@pytest.mark.parametrize("layer_decay", [-0.1, 1.5])
def test_wrong_decay_is_echoed(facts: ImageFacts, layer_decay: float) -> None:
    with pytest.raises(UserError, match=rf"model\.layer_decay is {layer_decay}"):
        build(facts, layer_decay=layer_decay)
