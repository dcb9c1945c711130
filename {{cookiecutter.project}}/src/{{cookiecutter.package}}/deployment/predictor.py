"""A checkpoint that says what is on images it has never seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.decoding import Decoding
from ..data.image_stream import Decoded, decode_batches
from ..errors import UserError
from ..evaluation.predictions import TOP_K
from ..evaluation.predictions import top_k as likeliest
from ..models import ImageClassifier
from .checkpoint import find_checkpoint, load_classifier, read_checkpoint

Device = Literal["auto", "cpu", "cuda", "mps"]
BATCH_SIZE = 64


@dataclass(frozen=True)
class Prediction:
    """Of one image.

    Attributes:
        path: as it was given.
        class_name: the likeliest class; None where the image cannot be read, or the model abstains.
        probability: of the likeliest class, also of an image that the model abstains from.
        top_k: the likeliest classes with their probabilities, the likeliest first.
        abstained: whether the probability is too low to name a class.
        error: why there is no prediction.
    """

    path: str
    class_name: str | None = None
    probability: float | None = None
    top_k: dict[str, float] = field(default_factory=dict)
    abstained: bool = False
    error: str | None = None


class Predictor:
    """Classifies image files or decoded images, in float32.

    Args:
        classifier: is moved to the device, and set to eval mode.
        device: ``auto`` takes a GPU where there is one.

    Raises:
        UserError: there is no such device here.
    """

    def __init__(self, classifier: ImageClassifier, device: Device = "auto") -> None:
        self.device = choose_device(device)
        self.classifier = classifier.eval().to(self.device)
        self.facts = classifier.facts
        self.decoding = Decoding(self.facts.image_size, self.facts.num_channels, self.facts.fit)

    @classmethod
    def from_checkpoint(cls, path: str | PathLike[str], device: Device = "auto") -> Predictor:
        """Load a run directory's best checkpoint, or a ``.ckpt`` file.

        Raises:
            UserError: there is none, it was not written by this project, or there is no such device here.
        """
        return cls(load_classifier(read_checkpoint(find_checkpoint(Path(path), "best"))), device)

    def predict(
        self,
        paths: Iterable[str | PathLike[str]],
        batch_size: int = BATCH_SIZE,
        top_k: int = TOP_K,
        abstain_below: float = 0.0,
    ) -> Iterator[Prediction]:
        """Classify image files, decoded as in training; one that cannot be read has an ``error``, and stops nothing.

        Args:
            paths: of any number of files; read no further than three batches ahead.
            batch_size: images that pass through the model at once.
            top_k: classes that are kept with their probabilities.
            abstain_below: no class is named where the highest probability is lower.

        Yields:
            a prediction for each path, in order.
        """
        for batch, decoded in decode_batches((fspath(path) for path in paths), self.decoding, batch_size):
            shares = iter(self._probabilities(decoded))
            for path, image in zip(batch, decoded, strict=True):
                if isinstance(image, str):
                    yield Prediction(path, error=image)
                else:
                    yield self._decide(path, next(shares), top_k, abstain_below)

    @torch.inference_mode()
    def predict_images(self, images: Tensor) -> Tensor:
        """Classify decoded images, all at once.

        Args:
            images: uint8 (N, C, H, W), 0 to 255, of the checkpoint's number of channels and image size.

        Returns:
            probabilities, float32 (N, K) on the CPU; the classes are ``facts.class_names``.

        Raises:
            ValueError: the images are of another type or shape.
        """
        expected = (self.facts.num_channels, self.facts.image_size, self.facts.image_size)
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"images are {images.dtype} {tuple(images.shape)}, expected torch.uint8 (N, *{expected})")
        return self.classifier(images.to(self.device)).float().softmax(dim=1).cpu()

    def _probabilities(self, decoded: list[Decoded]) -> NDArray[np.float32]:
        """(B, K) of the B images that could be read."""
        images = [image for image in decoded if not isinstance(image, str)]
        if not images:
            return np.empty((0, self.facts.num_classes), np.float32)
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # (B, C, H, W), channels last in memory
        return self.predict_images(batch).numpy()

    def _decide(self, path: str, shares: NDArray[np.float32], top_k: int, abstain_below: float) -> Prediction:
        if not np.isfinite(shares).all():
            return Prediction(path, error="the model's output is no finite number")
        best = likeliest(shares, self.facts.class_names, top_k)
        class_name, probability = next(iter(best.items()))
        abstained = probability < abstain_below
        return Prediction(path, None if abstained else class_name, probability, best, abstained)


def choose_device(device: Device) -> torch.device:
    """The device itself; of ``auto``, the best there is.

    Raises:
        UserError: it is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [name for name, is_there in there.items() if is_there]
    if device != "auto" and device not in available:
        raise UserError(f"--device is {device!r}, which is not available here. Available: {', '.join(available)}.")
    return torch.device(available[0] if device == "auto" else device)
