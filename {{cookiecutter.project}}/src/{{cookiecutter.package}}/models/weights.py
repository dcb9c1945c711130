"""Weights from a file into a backbone: safely, and completely or not at all."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import UserError

log = logging.getLogger(__name__)

NUM_SHOWN = 5
HEAD_TENSORS = 2  # weight and bias

State = dict[str, Tensor]


def load_weights(backbone: nn.Module, path: Path) -> None:
    """Load a file of weights by name or, where no name fits, by order and shape.

    Raises:
        UserError: the file cannot be read safely, or does not hold all weights of the backbone.
    """
    state, expected = read_state(path), backbone.state_dict()
    if not state.keys() & expected.keys():
        state = match_by_order(state, expected, path)
    missing = [f"{name} {tuple(expected[name].shape)}" for name in expected if name not in state]
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name].shape
    ]
    if missing or misshapen:
        raise UserError(
            f"model.weights is {str(path)!r}, which does not fit the backbone. Missing: {some(missing)}. "
            f"Of another shape: {some(sorted(misshapen))}. Give the file that belongs to model.backbone."
        )
    # What is left over belongs to the head of the file's own classes.
    backbone.load_state_dict({name: state[name] for name in expected})


def read_state(path: Path) -> State:
    """The tensors of a ``torch.save`` file; nothing in the file is executed."""
    if not path.is_file():
        raise UserError(f"model.weights is {str(path)!r}: no such file. Allowed: DEFAULT, none, or a file of weights.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UserError(
            f"model.weights is {str(path)!r}, which cannot be read as plain tensors ({first_line(error)}). "
            "Save the state_dict alone: torch.save(model.state_dict(), path)."
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise UserError(f"model.weights is {str(path)!r}, which holds no state_dict. Save one with torch.save.")
    return tensors


def match_by_order(state: State, expected: State, path: Path) -> State:
    """Rename tensors to the backbone's names where both list the same shapes in the same order, but for a head."""
    shapes, wanted = [t.shape for t in state.values()], [t.shape for t in expected.values()]
    if shapes[: len(wanted)] != wanted or len(shapes) > len(wanted) + HEAD_TENSORS:
        return state
    log.info("%s names its tensors in another way: all %d matched by order and shape", path.name, len(wanted))
    return dict(zip(expected, state.values(), strict=False))


def some(names: list[str]) -> str:
    shown = ", ".join(names[:NUM_SHOWN]) or "none"
    return f"{shown} and {len(names) - NUM_SHOWN} more" if len(names) > NUM_SHOWN else shown


def first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]
