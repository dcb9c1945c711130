"""Train, compare, ship and keep improving an image classifier."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .predictor import Predictor

__version__ = "0.1.0"


def load(run: str | PathLike[str], device: Literal["auto", "cpu", "cuda", "mps"] = "auto") -> Predictor:
    """Load a trained classifier for prediction.

    Args:
        run: a run directory (its best checkpoint is loaded), a ``.ckpt`` file, or a folder that ``export`` wrote.
        device: device to compute on; ``auto`` uses a GPU if there is one.

    Raises:
        UserError: there is no checkpoint, it was not written by this project, or the device is not available.
    """
    from .engine.checkpoint_predictor import load_predictor
    from .models import CLASSIFIERS

    return load_predictor(run, CLASSIFIERS, device, "run")
