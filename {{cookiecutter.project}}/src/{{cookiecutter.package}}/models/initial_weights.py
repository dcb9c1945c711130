"""Initialises a new training with the weights of an earlier one, which may have had other classes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ..errors import UserError, some
from .base import ImageClassifier

log = logging.getLogger(__name__)


def load_initial_weights(model: ImageClassifier, checkpoint: Mapping[str, Any], name: str) -> None:
    """Copy the weights of a checkpoint into a model; if the classes differ, the model keeps its own head.

    Args:
        model: model to initialise.
        checkpoint: a checkpoint of this project.
        name: name of the checkpoint, for messages.

    Raises:
        UserError: the weights (other than the head's) do not fit the model.
    """
    state: dict[str, Tensor] = dict(checkpoint["state_dict"])
    own, head = model.state_dict(), head_names(model)
    before, classes = checkpoint["hyper_parameters"]["facts"]["class_names"], model.facts.class_names
    if before != classes:
        state = {key: tensor for key, tensor in state.items() if key not in head} | {key: own[key] for key in head}
    misfits = {key for key in own if key not in state or state[key].shape != own[key].shape}
    if wrong := sorted(misfits | (state.keys() - own.keys())):
        raise UserError(
            f"init_from is {name!r}, whose {checkpoint['bundle']['model']} has other layers than this model: "
            f"they differ in {some(wrong)}. Give the same --model with the same arguments."
        )
    model.load_state_dict(state)
    if before == classes:
        log.info("Starting from the weights of %s.", name)
    else:
        log.info(
            "Starting from the weights of %s, with a new head, because its classes (%s) differ from these (%s).",
            name,
            some(before),
            some(classes),
        )


def head_names(model: nn.Module) -> list[str]:
    """Names of the tensors of the last linear layer, which gives the logits."""
    path = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    return [f"{path}.weight", f"{path}.bias"]
