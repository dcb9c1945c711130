import pytest
import torch
import torchvision

from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import backbones
from {{cookiecutter.package}}.models.backbones import build_backbone

# One of each family of heads: linear, in a sequence, in a block, a convolution, an attribute of another name.
FAMILIES = ["resnet18", "vgg11", "mobilenet_v3_small", "squeezenet1_1", "densenet121", "vit_b_32", "swin_t", "alexnet"]
FAMILIES += ["convnext_tiny", "shufflenet_v2_x0_5", "mnasnet0_5", "efficientnet_b0", "googlenet", "inception_v3"]


@pytest.mark.parametrize("name", FAMILIES)
def test_head_is_found_and_features_fit(name: str) -> None:
    with torch.device("meta"):  # shapes only: no memory, no time
        backbone = backbones.torchvision_backbone(name, pretrained=False)
        side = 299 if name == "inception_v3" else 224
        features = backbone.network.eval()(torch.zeros(2, 3, side, side)).flatten(1)
    assert features.shape == (2, backbone.num_features)
    assert len(backbone.mean) == len(backbone.std) == 3


def test_a_network_without_a_head_is_a_defect() -> None:
    with pytest.raises(TypeError, match="Identity"):
        backbones.remove_head(torch.nn.Identity())


def test_stages_are_in_order_and_hold_all_parameters() -> None:
    network = torchvision.models.resnet18()
    parts = backbones.stages(network)
    counted = sum(parameter.numel() for part in parts for parameter in part.parameters())
    assert counted == sum(parameter.numel() for parameter in network.parameters())
    assert parts[0] is network.conv1
    assert parts[-1] is network.fc


def test_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'resnet81'.*Did you mean 'resnet18'\?"):
        build_backbone("resnet81", "none")


def test_unknown_timm_name_lists_the_nearest() -> None:
    pytest.importorskip("timm")
    with pytest.raises(UserError, match=r"'timm/efficientnet_lite9'.*timm/efficientnet_lite0"):
        build_backbone("timm/efficientnet_lite9", "none")


def test_missing_timm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match="pip install timm"):
        build_backbone("timm/resnet18", "none")


def test_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision.models.ResNet18_Weights.DEFAULT.value, "url", "http://127.0.0.1:9/resnet18.pth")
    with pytest.raises(UserError, match=r"'resnet18' could not be downloaded.*--model\.weights FILE"):
        build_backbone("resnet18", "DEFAULT")
