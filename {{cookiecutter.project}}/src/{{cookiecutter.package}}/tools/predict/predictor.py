"""Classifies image files and images in memory with a checkpoint."""

from __future__ import annotations

import csv
import glob
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...engine.checkpoints import find_checkpoint, load_classifier, read_checkpoint
from ...engine.decoding import Decoding, Source, decode_batches, to_image
from ...engine.folder import image_extensions, images_below
from ...engine.results import TOP_K, rank_columns
from ...engine.results import top_k as likeliest
from ...errors import UserError, some
from ...models import CLASSIFIERS, ImageClassifier

Device = Literal["auto", "cpu", "cuda", "mps"]
OneOrMore = str | PathLike[str] | Image.Image | NDArray[Any] | Tensor
BATCH_SIZE = 64
COLUMNS = ("path", "class", "probability", "abstained", "error")


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image."""

    path: str | None  # as given; None for an image in memory
    class_name: str | None = None  # the most probable class; None if the image cannot be read or the model abstains
    probability: float | None = None  # of the most probable class, also if the model abstains
    top_k: dict[str, float] = field(default_factory=dict)  # the most probable classes, in descending order
    abstained: bool = False  # whether the probability is below the threshold for naming a class
    error: str | None = None  # why there is no prediction

    def as_row(self) -> dict[str, Any]:
        """Values by column: the predicted class, then a pair for each rank."""
        columns = [*COLUMNS, *rank_columns(1, len(self.top_k))]
        ranked = [value for pair in self.top_k.items() for value in pair]
        values = [self.path, self.class_name, self.probability, self.abstained, self.error, *ranked]
        return dict(zip(columns, values, strict=True))


class Predictions(list[Prediction]):
    """A list of predictions, in the order of the images."""

    def to_pandas(self) -> Any:
        """A DataFrame with the columns of the CSV file."""
        if find_spec("pandas") is None:
            raise UserError("to_pandas needs pandas, which is not installed. Install it: uv add pandas.")
        num_ranks = max((len(prediction.top_k) for prediction in self), default=0)
        rows = [prediction.as_row() for prediction in self]
        return import_module("pandas").DataFrame(rows, columns=[*COLUMNS, *rank_columns(1, num_ranks)])


class Predictor:
    """Classifies image files or decoded images, in float32.

    Args:
        classifier: the classifier; it is moved to the device and set to eval mode.
        device: device to compute on; ``auto`` uses a GPU if there is one.

    Raises:
        UserError: the device is not available.
    """

    def __init__(self, classifier: ImageClassifier, device: Device = "auto") -> None:
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        available = [name for name, is_there in there.items() if is_there]
        if device != "auto" and device not in available:
            raise UserError(f"device is {device!r}, which is not available here. Available: {', '.join(available)}.")
        self.device = torch.device(available[0] if device == "auto" else device)
        self.classifier = classifier.eval().to(self.device)
        self.facts = classifier.facts
        self.decoding = Decoding(self.facts.image_size, self.facts.num_channels, self.facts.fit)

    def __repr__(self) -> str:
        model, classes = type(self.classifier).__name__, some(self.facts.class_names)
        return f"Predictor({model} on {self.device}, {self.facts.num_classes} classes: {classes})"

    @classmethod
    def from_checkpoint(cls, path: str | PathLike[str], device: Device = "auto", option: str = "path") -> Predictor:
        """Load a run directory's best checkpoint, or a ``.ckpt`` file; error messages call the argument ``option``.

        Raises:
            UserError: there is no checkpoint, it was not written by this project, or the device is not available.
        """
        file = find_checkpoint(Path(path), "best", option)
        return cls(load_classifier(read_checkpoint(file, option), CLASSIFIERS), device)

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
        for sources, decoded in decode_batches(sources_of(images), self.decoding, batch_size):
            readable = [image for image in decoded if not isinstance(image, str)]  # the others are error messages
            batch = torch.from_numpy(np.stack(readable)).permute(0, 3, 1, 2) if readable else None  # (B, C, H, W)
            shares_of_readable = iter(() if batch is None else self.predict_images(batch).numpy())
            for source, image in zip(sources, decoded, strict=True):
                path = source if isinstance(source, str) else None
                if isinstance(image, str):
                    yield Prediction(path, error=image)
                    continue
                shares = next(shares_of_readable)
                if not np.isfinite(shares).all():
                    yield Prediction(path, error="the model's output is not finite")
                    continue
                best = likeliest(shares, self.facts.class_names, top_k)
                class_name, probability = next(iter(best.items()))
                abstained = probability < abstain_below
                yield Prediction(path, None if abstained else class_name, probability, best, abstained)

    @torch.inference_mode()
    def predict_images(self, images: Tensor) -> Tensor:
        """Classify decoded images in one batch: uint8 (N, C, H, W), 0 to 255, of the checkpoint's channels and size.

        Returns probabilities, float32 (N, K) on the CPU; the classes are ``facts.class_names``.
        """
        expected = (self.facts.num_channels, self.facts.image_size, self.facts.image_size)
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"images are {images.dtype} {tuple(images.shape)}, expected torch.uint8 (N, *{expected})")
        return self.classifier(images.to(self.device)).float().softmax(dim=1).cpu()


ALLOWED = "Allowed: a path, a folder, a PIL image, a uint8 array (H, W) or (H, W, C), a uint8 tensor (C, H, W)"


def sources_of(images: Any) -> Iterator[Source]:
    """Paths of image files and images in memory, from the argument of ``Predictor.predict``."""
    if isinstance(images, str | PathLike):
        count_images([fspath(images)])  # refuses a path that contains or matches no image
        return paths_of(fspath(images))
    is_numeric = isinstance(images, np.ndarray) and images.dtype.kind not in "OSU"
    if isinstance(images, Image.Image) or ((is_numeric or isinstance(images, Tensor)) and images.ndim < 4):
        return iter([source_of(images, "images")])
    if isinstance(images, Mapping | bytes) or not isinstance(images, Iterable):
        raise UserError(f"images is of type {type(images).__name__}. {ALLOWED}, or several of them.")
    return (source_of(image, f"images[{position}]") for position, image in enumerate(images))


def source_of(image: Any, name: str) -> Source:
    return str(fspath(image)) if isinstance(image, str | PathLike) else to_image(image, name, ALLOWED)


def count_images(inputs: Sequence[str]) -> int | None:
    """Number of paths; None if standard input is among the inputs. Refuses an input without an image."""
    total = 0
    for given in inputs:
        num = 0 if given == "-" else sum(1 for _ in paths_of(given))
        if num == 0 and given != "-":
            raise UserError(
                f"PATH is {given!r}, which contains or matches no image. Give a folder or CSV list of images, or a "
                "pattern such as 'photos/**/*.jpg'."
            )
        total += num
    return None if "-" in inputs else total


def paths_of(given: str) -> Iterator[str]:
    """Paths of the images of an input, in order.

    An input is an image; a folder, whose images are found at any depth and sorted; a pattern such as
    ``photos/**/*.jpg``, whose matches are sorted; a CSV file with a column ``path``, relative to its folder; or ``-``,
    which reads one path per line from standard input.
    """
    ending = Path(given).suffix.lower()
    if given == "-":
        lines = (os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer)
        return (line for line in lines if line)
    if os.path.isdir(given):  # noqa: PTH112, Path.is_dir raises where a name is too long or a folder is forbidden
        return map(str, images_below(Path(given)))
    if ending == ".csv":
        return listed_in(Path(given))
    if os.path.lexists(given):
        return iter([given])
    extensions = image_extensions()
    if glob.has_magic(given):
        found = sorted(glob.iglob(given, recursive=True))  # noqa: PTH207, Path.glob takes no absolute pattern
        images = (path for path in found if Path(path).suffix.lower() in extensions)
        return (path for path in images if not os.path.isdir(path))  # noqa: PTH112, as above
    if ending in extensions:
        return iter([given])  # reported with the unreadable images; the others are still classified
    raise UserError(
        f"PATH is {given!r}, but there is no such file or folder. Give images, folders, patterns in quotes, "
        "a CSV file with a column path, or - for paths on standard input."
    )


def listed_in(file: Path) -> Iterator[str]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:  # spreadsheets write a byte-order mark
            table = csv.DictReader(stream)
            if "path" not in (table.fieldnames or []):
                columns = list(table.fieldnames or [])
                raise UserError(f"PATH is {str(file)!r}, whose columns are {columns}; one must be 'path'.")
            for row in table:
                if not row["path"]:
                    raise UserError(f"{file}, line {table.line_num}: the column 'path' is empty. Fill it.")
                yield str(file.parent / row["path"])
    except OSError as error:
        raise UserError(f"PATH is {str(file)!r}, which cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"PATH is {str(file)!r}, which is not a CSV file in UTF-8: {error}.") from error
