"""Classifies image files and images in memory with a checkpoint; the table of the classifiers is handed in."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError, some
from ..predictor import DESCRIPTION, Decoding, Predictor
from .bundles import load_classifier, read_checkpoint
from .checkpoints import find_checkpoint

Device = Literal["auto", "cpu", "cuda", "mps"]


class CheckpointPredictor(Predictor):
    """Classifies image files or decoded images with torch, in float32; on a GPU, if there is one.

    The classifier is moved to the device and set to eval mode; a ``temperature`` of 1 does not calibrate probabilities.
    """

    def __init__(self, classifier: Any, device: Device = "auto", temperature: float = 1.0) -> None:
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        available = [name for name, is_there in there.items() if is_there]
        if device != "auto" and device not in available:
            raise UserError(f"device is {device!r}, which is not available here. Available: {', '.join(available)}.")
        self.device = torch.device(available[0] if device == "auto" else device)
        self.classifier = classifier.eval().to(self.device)
        self.facts = classifier.facts
        self.class_names = self.facts.class_names
        self.decoding = Decoding(self.facts.image_size, self.facts.num_channels, self.facts.fit)
        self.temperature = temperature
        self.abstain_below = 0.0

    def __repr__(self) -> str:
        model, classes = type(self.classifier).__name__, some(self.class_names)
        return f"CheckpointPredictor({model} on {self.device}, {len(self.class_names)} classes: {classes})"

    @classmethod
    def from_checkpoint(
        cls, path: str | PathLike[str], classifiers: Mapping[str, type], device: Device = "auto", option: str = "path"
    ) -> Self:
        """Load the best checkpoint of a run directory, or a ``.ckpt`` file, which is the value of ``option``.

        Raises:
            UserError: there is no checkpoint, it was not written by this project, or the device is not available.
        """
        checkpoint = read_checkpoint(find_checkpoint(Path(path), "best", option), option)
        temperature = checkpoint["bundle"].get("temperature", 1.0)  # of a finished training
        return cls(load_classifier(checkpoint, classifiers), device, temperature)

    @torch.inference_mode()
    def predict_images(self, images: Tensor) -> Tensor:
        """Classify decoded images in one batch: uint8 (N, C, H, W), 0 to 255, of the checkpoint's channels and size.

        Returns probabilities, float32 (N, K) on the CPU; the classes are ``class_names``.
        """
        expected = (self.facts.num_channels, self.facts.image_size, self.facts.image_size)
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"images are {images.dtype} {tuple(images.shape)}, expected torch.uint8 (N, *{expected})")
        logits = self.classifier(images.to(self.device)).float()
        return (logits / self.temperature).softmax(dim=1).cpu()

    def classify(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.predict_images(torch.from_numpy(images)).numpy()


def load_predictor(
    path: str | PathLike[str], classifiers: Mapping[str, type], device: Device = "auto", option: str = "path"
) -> Predictor:
    """The predictor of an export folder, or of a checkpoint or run directory; see ``from_checkpoint``."""
    if not isinstance(path, str | PathLike):
        raise UserError(f"{option} is {path!r}; it must be a path of a run, a checkpoint or an export.")
    if not (Path(path) / DESCRIPTION).is_file():
        return CheckpointPredictor.from_checkpoint(path, classifiers, device, option)
    if device not in {"auto", "cpu"}:
        raise UserError(f"device is {device!r}, but an export is computed on the CPU. Give a checkpoint instead.")
    try:
        return Predictor(path)
    except ImportError as error:
        raise UserError(
            "an export needs onnxruntime, which is not installed. Install it: uv add onnxruntime."
        ) from error
