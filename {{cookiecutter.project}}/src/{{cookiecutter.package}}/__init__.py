"""Train, compare, ship and keep improving an image classifier."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .deployment.predictor import Predictor

__version__ = "0.1.0"


def load(run: str | PathLike[str], device: Literal["auto", "cpu", "cuda", "mps"] = "auto") -> Predictor:
    """Load a trained classifier, to predict with it.

    Args:
        run: a run directory, which stands for its best checkpoint, or a ``.ckpt`` file.
        device: ``auto`` takes a GPU where there is one.

    Raises:
        UserError: there is no checkpoint, it was not written by this project, or there is no such device here.
    """
    from .deployment.predictor import Predictor  # here, because the command line's help needs no torch

    return Predictor.from_checkpoint(run, device, "run")
