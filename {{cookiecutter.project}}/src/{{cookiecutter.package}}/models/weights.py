"""Weights from a file into a backbone: safely, and completely or not at all.

The file is one of ``torch.save`` (.pt, .pth, a checkpoint of this project) or of safetensors.
"""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import UserError, some

log = logging.getLogger(__name__)

BACKBONE, HEAD_OF_OURS = "backbone.", "head.1.weight"  # names in a checkpoint of this project
HEAD_TENSORS = 2  # weight and bias

State = dict[str, Tensor]


def load_weights(backbone: nn.Module, path: Path) -> None:
    """Load a file of weights by name or, where no name fits, by order and shape.

    Raises:
        UserError: the file cannot be read safely, or does not hold all weights of the backbone.
    """
    state, expected = own_backbone(read_state(path)), backbone.state_dict()
    if not state.keys() & expected.keys():
        state = match_by_order(state, expected, path)
    missing = [f"{name} {tuple(expected[name].shape)}" for name in expected if name not in state]
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name].shape
    ]
    # A head of the file's own classes is left over; it is unexpected where something else is wrong.
    unexpected = [f"{name} {tuple(state[name].shape)}" for name in state if name not in expected]
    if missing or misshapen:
        raise UserError(
            f"model.weights is {str(path)!r}, which does not fit the backbone. Missing: {some(missing)}. "
            f"Unexpected: {some(unexpected)}. Of another shape: {some(sorted(misshapen))}. "
            "Give the file that belongs to model.backbone."
        )
    backbone.load_state_dict({name: state[name] for name in expected})


def own_backbone(state: State) -> State:
    """Of a checkpoint of this project's TransferClassifier, the backbone alone, under its own names."""
    if HEAD_OF_OURS not in state:
        return state
    return {name.removeprefix(BACKBONE): tensor for name, tensor in state.items() if name.startswith(BACKBONE)}


def read_state(path: Path) -> State:
    """The tensors of a file; nothing in the file is executed."""
    if not path.is_file():
        raise UserError(f"model.weights is {str(path)!r}: no such file. Allowed: DEFAULT, none, or a file of weights.")
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
        raise UserError(f"model.weights is {str(path)!r}, which holds no state_dict. Save one with torch.save.")
    return tensors


def read_file(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def match_by_order(state: State, expected: State, path: Path) -> State:
    """Rename tensors to the backbone's names where both list the same shapes in the same order, but for a head."""
    shapes, wanted = [t.shape for t in state.values()], [t.shape for t in expected.values()]
    if shapes[: len(wanted)] != wanted or len(shapes) > len(wanted) + HEAD_TENSORS:
        return state
    log.info("Loaded pretrained weights from %s: %d tensors, matched by order and shape.", path.name, len(wanted))
    return dict(zip(expected, state.values(), strict=False))


def first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]
