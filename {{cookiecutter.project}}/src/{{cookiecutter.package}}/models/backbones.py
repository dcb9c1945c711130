"""Pretrained networks by name, without their classification head."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torchvision
from torch import nn

from ..errors import UserError, did_you_mean
from .weights import first_line, load_weights

TIMM_PREFIX = "timm/"
NUM_IMAGENET_CLASSES = 1000
# Both train with extra heads, which transfer learning has no use for, and draw random weights slowly.
TORCHVISION_OPTIONS: dict[str, dict[str, Any]] = {
    "inception_v3": {"aux_logits": False, "init_weights": False},
    "googlenet": {"aux_logits": False, "init_weights": False},
}


@dataclass(frozen=True)
class Backbone:
    """A network that maps normalised images (N, 3, S, S) to features (N, num_features).

    Attributes:
        network: the module.
        num_features: features an image.
        mean: what its weights expect, one value a channel, of pixels scaled to [0, 1].
        std: as ``mean``.
        input_size: side in pixels of the images that its weights were trained on.
        takes_other_sizes: whether it takes images of another size at all; a vision transformer does not.
    """

    network: nn.Module
    num_features: int
    mean: list[float]
    std: list[float]
    input_size: int
    takes_other_sizes: bool

    def side_for(self, image_size: int, pretrained: bool) -> int:
        """The side to resize images of ``image_size`` pixels to: small ones to what the weights know, no large ones."""
        if not self.takes_other_sizes:
            return self.input_size
        return max(image_size, self.input_size) if pretrained else image_size


def build_backbone(name: str, weights: str) -> Backbone:
    """Build a backbone and fill it with weights.

    Args:
        name: a torchvision classification model, or ``timm/`` and a timm model.
        weights: ``DEFAULT`` (downloaded once, by the library), ``none`` (random), or the path of a file.

    Raises:
        UserError: no such model, timm is not installed, or the weights cannot be had or do not fit.
    """
    build = timm_backbone if name.startswith(TIMM_PREFIX) else torchvision_backbone
    backbone = build(name, weights == "DEFAULT")
    if weights not in {"DEFAULT", "none"}:
        load_weights(backbone.network, Path(weights).expanduser())
    return backbone


def torchvision_backbone(name: str, pretrained: bool) -> Backbone:
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise UserError(f"model.backbone is {name!r}, which torchvision does not have. {did_you_mean(name, names)}")
    weights: Any = torchvision.models.get_model_weights(name)["DEFAULT"]
    options = TORCHVISION_OPTIONS.get(name, {})
    with download_errors(name, pretrained):
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
    import timm

    model = name.removeprefix(TIMM_PREFIX)
    if model.split(".")[0] not in timm.list_models():
        known = [TIMM_PREFIX + found for found in timm.list_models()]
        raise UserError(f"model.backbone is {name!r}, which timm does not have. {did_you_mean(name, known)}")
    with download_errors(name, pretrained):
        network: Any = timm.create_model(model, pretrained=pretrained, num_classes=0)
    num_features = getattr(network, "head_hidden_size", None) or network.num_features
    expected: Any = network.pretrained_cfg
    side, is_fixed = expected["input_size"][-1], expected.get("fixed_input_size", False)
    return Backbone(network, num_features, list(expected["mean"]), list(expected["std"]), side, not is_fixed)


def remove_head(network: nn.Module) -> int:
    """Put an identity in the place of the last layer that has one output for each ImageNet class.

    Returns:
        the number of features that the layer took.
    """
    for path, module in reversed(list(network.named_modules())):
        num_inputs = classifier_inputs(module)
        if num_inputs is not None:
            network.set_submodule(path, nn.Identity())
            return num_inputs
    raise TypeError(f"{type(network).__name__} has no layer with {NUM_IMAGENET_CLASSES} outputs")


def classifier_inputs(module: nn.Module) -> int | None:
    """Inputs of a linear layer, or 1 x 1 convolution (SqueezeNet), onto the ImageNet classes."""
    if isinstance(module, nn.Linear) and module.out_features == NUM_IMAGENET_CLASSES:
        return module.in_features
    if isinstance(module, nn.Conv2d) and module.out_channels == NUM_IMAGENET_CLASSES:
        return module.in_channels
    return None


@contextmanager
def download_errors(name: str, pretrained: bool) -> Iterator[None]:
    """Turn whatever a hub's client raises without a network into the next step to take."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise UserError(
            f"model.weights is 'DEFAULT', and the weights of {name!r} could not be downloaded ({first_line(error)}). "
            "Get the file on another machine and pass --model.weights FILE, or train from scratch with --model.weights "
            "none --model.head_epochs 0 --model.unfreeze all --model.backbone_lr_factor 1."
        ) from error


def stages(network: nn.Module) -> list[nn.Module]:
    """The parts of a network in order: its children, with containers (``features``, ``blocks``) opened."""
    parts: list[nn.Module] = []
    for child in network.children():
        parts += list(child.children()) if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
    return [part for part in parts if any(True for _ in part.parameters())]
