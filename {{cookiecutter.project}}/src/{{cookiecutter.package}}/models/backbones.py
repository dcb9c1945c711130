"""Pretrained networks by name, without their classification head."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from ..errors import UserError, did_you_mean
from .weights import (
    INSTALL,
    PACKAGE,
    PACKAGED_BACKBONES,
    first_line,
    has_packaged_weights,
    hub_problem,
    load_weights,
    packaged_weights,
    server_problem,
)

log = logging.getLogger(__name__)

TIMM_PREFIX = "timm/"
NUM_IMAGENET_CLASSES = 1000
# Both have auxiliary classifiers, which transfer learning does not need, and initialise slowly.
TORCHVISION_OPTIONS: dict[str, dict[str, Any]] = {
    "inception_v3": {"aux_logits": False, "init_weights": False},
    "googlenet": {"aux_logits": False, "init_weights": False},
}


@dataclass(frozen=True)
class Backbone:
    """A network that maps normalised images (N, 3, S, S) to features (N, num_features).

    Attributes:
        network: the module.
        num_features: number of features per image.
        mean: mean of each channel that its weights expect, of pixels scaled to [0, 1].
        std: standard deviation of each channel that its weights expect, of pixels scaled to [0, 1].
        input_size: side, in pixels, of the images that its weights were trained on.
        takes_other_sizes: whether it accepts images of other sizes; a vision transformer does not.
        weights: source of its weights: a value of the option ``weights``.
    """

    network: nn.Module
    num_features: int
    mean: list[float]
    std: list[float]
    input_size: int
    takes_other_sizes: bool
    weights: str = "none"

    def side_for(self, image_size: int, pretrained: bool) -> int:
        """The input side for images of ``image_size`` pixels: small images are enlarged to ``input_size``."""
        if not self.takes_other_sizes:
            return self.input_size
        return max(image_size, self.input_size) if pretrained else image_size


def build_backbone(name: str, weights: str) -> Backbone:
    """Build a backbone and load its weights.

    Args:
        name: a torchvision classification model, or ``timm/`` followed by a timm model.
        weights: ``DEFAULT`` (downloaded once by the library; if that fails, from the package if it is installed),
            ``package``, ``none`` (random), or a path to a file.

    Raises:
        UserError: the model is unknown, timm is not installed, or the weights are not available or do not fit.
    """
    build = timm_backbone if name.startswith(TIMM_PREFIX) else torchvision_backbone
    if weights == "DEFAULT":
        try:
            return replace(build(name, True), weights=weights)
        except (OSError, RuntimeError) as error:
            if not has_packaged_weights(name):
                raise UserError(no_download(name, first_line(error))) from error
            reason = first_line(error).rstrip(".")
            log.info("Download failed (%s). Using the weights of the package %s.", reason, PACKAGE)
            weights = "package"
    file = packaged_weights(name) if weights == "package" else Path(weights).expanduser()
    backbone = build(name, False)
    if weights != "none":
        load_weights(backbone.network, file)
    return replace(backbone, weights=weights)


def no_download(name: str, reason: str) -> str:
    """The error message if pretrained weights cannot be downloaded and are not installed as a package."""
    problem = f"model.weights is 'DEFAULT', and the weights of {name!r} cannot be downloaded ({reason.rstrip('.')})."
    if name in PACKAGED_BACKBONES:
        return f"{problem} Install them as a package: {INSTALL}. Then give --model.weights package."
    return (
        f"{problem} Download them on another machine and give --model.weights FILE, or use a backbone whose weights "
        f"can be installed: {INSTALL}, then --model.backbone {PACKAGED_BACKBONES[-1]} --model.weights package."
    )


def torchvision_backbone(name: str, pretrained: bool) -> Backbone:
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise UserError(f"model.backbone is {name!r}, which torchvision does not have. {did_you_mean(name, names)}")
    weights: Any = torchvision.models.get_model_weights(name)["DEFAULT"]
    cached = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    if pretrained and not cached.exists() and (problem := server_problem(weights.url)):
        raise OSError(problem)
    options = TORCHVISION_OPTIONS.get(name, {})
    network = torchvision.models.get_model(name, weights=weights if pretrained else None, **options)
    expected = weights.transforms()
    (side,), takes_other_sizes = expected.crop_size, not hasattr(network, "image_size")
    return Backbone(network, remove_head(network), list(expected.mean), list(expected.std), side, takes_other_sizes)


def timm_backbone(name: str, pretrained: bool) -> Backbone:
    if importlib.util.find_spec("timm") is None:
        raise UserError(
            f"model.backbone is {name!r}, and timm is not installed. Install it (pip install timm), or give a "
            "torchvision model, for example --model.backbone efficientnet_b0."
        )
    problem = hub_problem() if pretrained else ""
    import timm

    model = name.removeprefix(TIMM_PREFIX)
    if model.split(".")[0] not in timm.list_models():
        known = [TIMM_PREFIX + found for found in timm.list_models()]
        raise UserError(f"model.backbone is {name!r}, which timm does not have. {did_you_mean(name, known)}")
    try:
        network: Any = timm.create_model(model, pretrained=pretrained, num_classes=0)
    except OSError as error:
        raise OSError(problem or str(error)) from error
    num_features = getattr(network, "head_hidden_size", None) or network.num_features
    expected: Any = network.pretrained_cfg
    side, is_fixed = expected["input_size"][-1], expected.get("fixed_input_size", False)
    return Backbone(network, num_features, list(expected["mean"]), list(expected["std"]), side, not is_fixed)


def remove_head(network: nn.Module) -> int:
    """Replace the last layer with one output per ImageNet class by an identity.

    Returns:
        the number of input features of that layer.
    """
    for path, module in reversed(list(network.named_modules())):
        num_inputs = classifier_inputs(module)
        if num_inputs is not None:
            network.set_submodule(path, nn.Identity())
            return num_inputs
    raise TypeError(f"{type(network).__name__} has no layer with {NUM_IMAGENET_CLASSES} outputs")


def classifier_inputs(module: nn.Module) -> int | None:
    """Number of inputs, if the module is a linear layer or 1 x 1 convolution (SqueezeNet) to the ImageNet classes."""
    if isinstance(module, nn.Linear) and module.out_features == NUM_IMAGENET_CLASSES:
        return module.in_features
    if isinstance(module, nn.Conv2d) and module.out_channels == NUM_IMAGENET_CLASSES:
        return module.in_channels
    return None


def stages(network: nn.Module) -> list[nn.Module]:
    """The stages of a network in order: its children, with containers (``features``, ``blocks``) expanded."""
    parts: list[nn.Module] = []
    for child in network.children():
        parts += list(child.children()) if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
    return [part for part in parts if any(True for _ in part.parameters())]
