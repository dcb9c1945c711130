"""Classifies new images with a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..data.decoding import Decoding
from ..data.image_stream import Decoded, Source, decode_batches
from ..errors import UserError, some
from ..evaluation.predictions import TOP_K
from ..evaluation.predictions import top_k as likeliest
from ..models import ImageClassifier
from .checkpoint import find_checkpoint, load_classifier, read_checkpoint
from .image_paths import count_images, image_paths
from .prediction_table import Prediction, Predictions

Device = Literal["auto", "cpu", "cuda", "mps"]
OneOrMore = str | PathLike[str] | Image.Image | NDArray[Any] | Tensor
BATCH_SIZE = 64
ALLOWED = "Allowed: a path, a folder, a PIL image, a uint8 array (H, W) or (H, W, C), a uint8 tensor (C, H, W)"


class Predictor:
    """Classifies image files or decoded images, in float32.

    Args:
        classifier: the classifier; it is moved to the device and set to eval mode.
        device: device to compute on; ``auto`` uses a GPU if there is one.

    Raises:
        UserError: the device is not available.
    """

    def __init__(self, classifier: ImageClassifier, device: Device = "auto") -> None:
        self.device = choose_device(device)
        self.classifier = classifier.eval().to(self.device)
        self.facts = classifier.facts
        self.decoding = Decoding(self.facts.image_size, self.facts.num_channels, self.facts.fit)

    def __repr__(self) -> str:
        model, classes = type(self.classifier).__name__, some(self.facts.class_names)
        return f"Predictor({model} on {self.device}, {self.facts.num_classes} classes: {classes})"

    @classmethod
    def from_checkpoint(cls, path: str | PathLike[str], device: Device = "auto", option: str = "path") -> Predictor:
        """Load a run directory's best checkpoint, or a ``.ckpt`` file.

        Args:
            path: path of the run directory or file.
            device: device to compute on; ``auto`` uses a GPU if there is one.
            option: name of the argument, for error messages.

        Raises:
            UserError: there is no checkpoint, it was not written by this project, or the device is not available.
        """
        file = find_checkpoint(Path(path), "best", option)
        return cls(load_classifier(read_checkpoint(file, option)), device)

    def predict(
        self,
        images: OneOrMore | Iterable[OneOrMore],
        batch_size: int = BATCH_SIZE,
        top_k: int = TOP_K,
        abstain_below: float = 0.0,
    ) -> Predictions:
        """Classify images; they are made square and scaled as in training.

        The prediction for an unreadable image has an ``error`` and no class; the other images are classified.

        Args:
            images: the path of an image, of a folder (its images at any depth), of a CSV list or a pattern; a PIL
                image; a uint8 array (H, W) or (H, W, C) or tensor (C, H, W), of 1, 3 or 4 channels; several of these
                as an array (N, H, W, C) or tensor (N, C, H, W); or any iterable of images and paths of images.
            batch_size: images per batch.
            top_k: number of classes to return with their probabilities.
            abstain_below: abstain from naming a class if the highest probability is below this value.

        Returns:
            a prediction for each image, in order.

        Raises:
            UserError: ``images`` is of no supported type.
        """
        return Predictions(self.stream(images, batch_size, top_k, abstain_below))

    def stream(
        self,
        images: OneOrMore | Iterable[OneOrMore],
        batch_size: int = BATCH_SIZE,
        top_k: int = TOP_K,
        abstain_below: float = 0.0,
    ) -> Iterator[Prediction]:
        """Like ``predict``, as an iterator; at most three batches of images are read ahead."""
        for batch, decoded in decode_batches(sources_of(images), self.decoding, batch_size):
            shares = iter(self._probabilities(decoded))
            for source, image in zip(batch, decoded, strict=True):
                path = source if isinstance(source, str) else None
                if isinstance(image, str):
                    yield Prediction(path, error=image)
                else:
                    yield self._decide(path, next(shares), top_k, abstain_below)

    @torch.inference_mode()
    def predict_images(self, images: Tensor) -> Tensor:
        """Classify decoded images in one batch.

        Args:
            images: uint8 (N, C, H, W), 0 to 255, with the checkpoint's number of channels and image size.

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
        """Probabilities (B, K) of the B readable images."""
        images = [image for image in decoded if not isinstance(image, str)]
        if not images:
            return np.empty((0, self.facts.num_classes), np.float32)
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # (B, C, H, W), channels last in memory
        return self.predict_images(batch).numpy()

    def _decide(self, path: str | None, shares: NDArray[np.float32], top_k: int, abstain_below: float) -> Prediction:
        if not np.isfinite(shares).all():
            return Prediction(path, error="the model's output is not finite")
        best = likeliest(shares, self.facts.class_names, top_k)
        class_name, probability = next(iter(best.items()))
        abstained = probability < abstain_below
        return Prediction(path, None if abstained else class_name, probability, best, abstained)


def choose_device(device: Device) -> torch.device:
    """The given device; for ``auto``, a GPU if there is one.

    Raises:
        UserError: the device is not available.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [name for name, is_there in there.items() if is_there]
    if device != "auto" and device not in available:
        raise UserError(f"device is {device!r}, which is not available here. Available: {', '.join(available)}.")
    return torch.device(available[0] if device == "auto" else device)


def sources_of(images: Any) -> Iterator[Source]:
    """Expand the argument of ``Predictor.predict`` to paths of image files and images in memory.

    Raises:
        UserError: it is of no supported type.
    """
    if isinstance(images, str | PathLike):
        path = fspath(images)
        count_images([path])  # refuses a path that contains or matches no image
        return image_paths([path])
    if isinstance(images, Image.Image) or (is_pixels(images) and images.ndim < 4):
        return iter([source_of(images, "images")])
    if isinstance(images, Mapping | bytes) or not isinstance(images, Iterable):
        raise UserError(f"images is of type {type(images).__name__}. {ALLOWED}, or several of them.")
    return (source_of(image, f"images[{position}]") for position, image in enumerate(images))


def source_of(image: Any, name: str) -> Source:
    if isinstance(image, str | PathLike):
        return str(fspath(image))
    if isinstance(image, Image.Image):
        return image
    if not is_pixels(image):
        raise UserError(f"{name} is of type {type(image).__name__}. {ALLOWED}.")
    pixels = image.cpu().numpy() if isinstance(image, Tensor) else image
    if pixels.dtype != np.uint8:
        raise UserError(f"{name} has the type {pixels.dtype}: pixels must be uint8, from 0 to 255.")
    shape = pixels.shape
    if isinstance(image, Tensor) and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)  # (H, W, C)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if not pixels.size or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in {3, 4})):
        raise UserError(f"{name} has the shape {shape}. {ALLOWED}, with 1, 3 or 4 channels.")
    return Image.fromarray(np.ascontiguousarray(pixels))


def is_pixels(image: object) -> bool:
    """Whether the object is a numeric array or tensor."""
    return isinstance(image, Tensor) or (isinstance(image, np.ndarray) and image.dtype.kind not in "OSU")
