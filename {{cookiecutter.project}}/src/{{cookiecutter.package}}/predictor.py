"""Classifies images with an exported model. Needs numpy, Pillow and onnxruntime, and nothing else.

``export`` copies this file into the folder that it writes. There it works without the package:

    python predictor.py export/ photos/ --out predictions.csv
    >>> Predictor("export/")(["a.jpg", "b.jpg"])

The package decodes its images with the functions of this file too, so that training and prediction agree.
"""

from __future__ import annotations

import argparse
import csv
import errno
import glob
import hashlib
import json
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from io import BufferedReader, BytesIO, TextIOWrapper
from itertools import chain, islice
from os import PathLike, fspath
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

try:
    from .errors import UserError
except ImportError:  # this file is a copy outside of the package

    class UserError(Exception):  # type: ignore[no-redef]
        """Wrong input; the message states what was given, what is allowed and what to do next."""


MODEL, INT8_MODEL, DESCRIPTION = "model.onnx", "model_int8.onnx", "model.json"
FORMAT = 1  # of model.json
MAX_IMAGE_SIZE = 65536
BATCH_SIZE = 64
TOP_K = 5
COLUMNS = ("path", "class", "probability", "temperature", "abstained", "error")
# Exceptions that Pillow raises, besides OSError, for files that it cannot decode: RuntimeError for AVIF and DDS.
UNDECODABLE = (SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError)

Source = str | Path | Image.Image  # the path of a file, or an image in memory
Decoded = NDArray[np.uint8] | str  # an image, or why it cannot be read


# From a file to pixels.


@dataclass(frozen=True)
class Decoding:
    """Settings of decoding, as in ``ImageFacts``; two runs with equal settings share cached images."""

    image_size: int
    num_channels: int
    fit: Literal["crop", "pad", "squash"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one image: channels last, which is the order of decoders and fast for convolutions."""
        return self.image_size, self.image_size, self.num_channels

    @property
    def num_bytes(self) -> int:
        """Size of one decoded image, in bytes."""
        return self.image_size**2 * self.num_channels

    def decode(self, source: Path | BytesIO | Image.Image) -> NDArray[np.uint8]:
        """Decode one image to uint8 (H, W, C), rotated according to its EXIF orientation, without modifying it.

        Transparent pixels become white. Raises an OSError if the file is missing, truncated or not an image, or if its
        pixel values have no defined range.
        """
        try:
            if isinstance(source, Image.Image):
                return self._square(ImageOps.exif_transpose(source))
            with Image.open(source, formats=image_formats()) as image:
                # JPEG only: decode at the smallest scale that is large enough, three times faster for 12 megapixels.
                image.draft("RGB", (2 * self.image_size, 2 * self.image_size))
                ImageOps.exif_transpose(image, in_place=True)
                return self._square(image)
        except UNDECODABLE as error:
            raise OSError(f"cannot decode: {error}") from error

    def _square(self, image: Image.Image) -> NDArray[np.uint8]:
        size, method = (self.image_size, self.image_size), Image.Resampling.BILINEAR
        image = to_mode(image, self.num_channels)
        if self.fit == "squash":
            square = image.resize(size, method)
        else:
            square = (ImageOps.fit if self.fit == "crop" else ImageOps.pad)(image, size, method)
        return np.asarray(square).reshape(self.shape)


def to_mode(image: Image.Image, num_channels: int) -> Image.Image:
    """Convert any mode (grey, palette, alpha, CMYK, 16 bit) to 8-bit grey or RGB."""
    if 0 in image.size:
        raise OSError("the image has no pixels")
    if image.mode == "F":
        raise OSError("floating-point pixels have no defined range; save the image with 8 or 16 bits per channel")
    if image.mode.startswith("I"):  # 16 bits: Pillow's own conversion clips at 255 instead of scaling
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise OSError(
                f"pixels from {pixels.min()} to {pixels.max()} have no defined range; save the image with 8 or 16 bits "
                "per channel"
            )
        image = Image.fromarray((pixels // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    mode = "L" if num_channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)  # convert() always copies


PIXELS = "a PIL image, a uint8 array (H, W) or (H, W, C), a uint8 tensor (C, H, W)"


def to_image(pixels: Any, name: str, allowed: str = f"Allowed: {PIXELS}") -> Image.Image:
    """The PIL image of uint8 (H, W) or (H, W, C), or of a tensor (H, W) or (C, H, W), where C is 1, 3 or 4."""
    if isinstance(pixels, Image.Image):
        return pixels
    if not is_tensor(pixels) and not is_numeric(pixels):
        raise UserError(f"{name} is of type {type(pixels).__name__}. {allowed}.")
    try:
        array = pixels.cpu().numpy() if is_tensor(pixels) else pixels
    except (RuntimeError, TypeError) as error:  # a tensor without values, or a sparse one
        raise UserError(f"{name} cannot be read: {error}. {allowed}.") from error
    if array.dtype != np.uint8:
        raise UserError(f"{name} has the type {array.dtype}: pixels must be uint8, from 0 to 255.")
    if is_tensor(pixels) and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)  # (H, W, C)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {3, 4})):
        raise UserError(f"{name} has the shape {tuple(pixels.shape)}. {allowed}, with 1, 3 or 4 channels.")
    return Image.fromarray(np.ascontiguousarray(array))


def is_tensor(value: Any) -> bool:
    """Whether a value is a torch tensor, without importing torch."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "cpu")


def is_numeric(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind not in "OSU"


T = TypeVar("T")
R = TypeVar("R")


def on_all_cores(function: Callable[[T], R], items: Iterable[T], num_ahead: int = 128) -> Iterator[tuple[T, R]]:
    """Each item with the function's result, in order, from threads; at most ``num_ahead`` items are read ahead."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) > num_ahead:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def decode_batches(
    sources: Iterable[Source], decoding: Decoding, batch_size: int
) -> Iterator[tuple[list[Source], list[Decoded]]]:
    """Decode on all cores, in order: B sources, and for each its uint8 (H, W, C) or why it cannot be read."""
    decoded = on_all_cores(partial(decode, decoding=decoding), sources, 2 * batch_size)
    while batch := list(islice(decoded, batch_size)):
        yield [source for source, _ in batch], [image for _, image in batch]


def decode(source: Source, decoding: Decoding) -> Decoded:
    try:
        return decoding.decode(source if isinstance(source, Image.Image) else BytesIO(read_file(source)))
    except OSError as error:
        return error.strerror or error_text(error)
    except ValueError as error:  # a path with a null character
        return str(error)


@contextmanager
def opened(file: str | Path) -> Iterator[BufferedReader]:
    """Open a regular file to read it; an OSError for a pipe, which may be silent, or a device, which may not end."""
    flags = getattr(os, "O_NONBLOCK", 0)  # else opening a pipe waits for its writer
    with open(file, "rb", opener=lambda path, mode: os.open(path, mode | flags)) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "Not a file but a pipe or a device", str(file))
        yield stream


def read_file(file: str | Path) -> bytes:
    with opened(file) as stream:
        return stream.read()


def error_text(error: BaseException) -> str:
    """Pillow's error message without the memory address of a buffer."""
    return str(error).split(" <_io")[0] or type(error).__name__


# The images that a user names.

ALLOWED = f"Allowed: a path, a folder, {PIXELS}"


def sources_of(images: Any) -> Iterator[Source]:
    """Paths of image files and images in memory, from the argument of ``Predictor.predict``."""
    if isinstance(images, str | PathLike):
        count_images([fspath(images)])  # refuses a path that contains or matches no image
        return iter(paths_of(fspath(images)))
    if isinstance(images, Image.Image) or ((is_numeric(images) or is_tensor(images)) and images.ndim < 4):
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


def paths_of(given: str) -> Iterable[str]:
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
        return [given]
    extensions = image_extensions()
    if glob.has_magic(given):
        found = sorted(glob.iglob(given, recursive=True))  # noqa: PTH207, Path.glob takes no absolute pattern
        images = (path for path in found if Path(path).suffix.lower() in extensions)
        return (path for path in images if not os.path.isdir(path))  # noqa: PTH112, as above
    if ending in extensions:
        return [given]  # reported with the unreadable images; the others are still classified
    raise UserError(
        f"PATH is {given!r}, but there is no such file or folder. Give images, folders, patterns in quotes, "
        "a CSV file with a column path, or - for paths on standard input."
    )


def listed_in(file: Path) -> Iterator[str]:
    try:
        with opened(file) as content:
            lines = TextIOWrapper(content, "utf-8-sig", newline="")  # spreadsheets write a byte-order mark
            table = csv.DictReader(lines)
            columns = list(table.fieldnames or [])
            if columns.count("path") != 1:
                raise UserError(f"PATH is {str(file)!r}, whose columns are {columns}; one must be 'path'.")
            for row in table:
                if not row["path"]:
                    raise UserError(f"{file}, line {table.line_num}: the column 'path' is empty. Fill it.")
                if None in row:
                    raise UserError(
                        f"{file}, line {table.line_num}, has more cells than the heading. Quote a path with a comma."
                    )
                yield str(file.parent / row["path"])
    except OSError as error:
        raise UserError(f"PATH is {str(file)!r}, which cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"PATH is {str(file)!r}, which is not a CSV file in UTF-8: {error}. Save it as UTF-8."
        ) from error


def images_below(folder: Path) -> Iterator[Path]:
    """Image files at any depth, sorted, also broken links; only the names of one folder are in memory at a time."""
    extensions = image_extensions()
    return (file for file in files_below(folder) if file.suffix.lower() in extensions)


def files_below(folder: Path, visited: set[str] | None = None) -> Iterator[Path]:
    """Files at any depth that are not hidden, sorted; each linked folder is followed once."""
    visited = set() if visited is None else visited
    visited.add(os.path.realpath(folder))
    is_folder = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        is_folder = {entry.name: is_directory(entry) for entry in entries if not entry.name.startswith(".")}
    for name in sorted(is_folder):
        path = folder / name
        if not is_folder[name]:
            yield path
        elif os.path.realpath(path) not in visited:
            yield from files_below(path, visited)


def is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def image_extensions() -> set[str]:
    """Extensions of the formats in which images are opened."""
    known = Image.registered_extensions()
    return {ext for ext, fmt in known.items() if fmt in image_formats()}


def image_formats() -> list[str]:
    """The formats that Pillow can open, without video, and without PostScript, for which it starts another program.

    A file is opened in these formats only, as its content can be of another format than its name says.
    """
    Image.init()
    return [name for name in Image.ID if name not in {"PDF", "EPS", "MPEG", "HDF5"}]


# From pixels to predictions.


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image."""

    path: str | None  # as given; None for an image in memory
    label: str | None = None  # the most probable class; None if the image cannot be read
    probability: float | None = None  # of the most probable class
    top_k: dict[str, float] = field(default_factory=dict)  # the most probable classes, in descending order
    abstains: bool = False  # whether the probability is below the threshold for naming a class
    error: str | None = None  # why there is no prediction
    temperature: float = 1.0  # by which the logits were divided; 1 where the probabilities are not calibrated
    probabilities: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)  # (K,), of all classes

    @property
    def class_name(self) -> str | None:
        """The label, or None if the model abstains."""
        return None if self.abstains else self.label

    def as_row(self) -> dict[str, Any]:
        """Values by column: the predicted class, then a pair for each rank."""
        ranked = [value for pair in self.top_k.items() for value in pair]
        temperature = None if self.label is None else self.temperature
        values = [self.path, self.class_name, self.probability, temperature, self.abstains, self.error, *ranked]
        return dict(zip([*COLUMNS, *rank_columns(1, len(self.top_k))], values, strict=True))


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
    """Classifies image files and images in memory with the model of an export folder, on the CPU.

    Args:
        folder: written by ``export``.
        int8: use the quantized model, if the folder has one.
        threads: threads of onnxruntime; None uses all cores.

    Raises:
        UserError: the folder is not a complete export, or one of its files was changed.
    """

    def __init__(self, folder: str | PathLike[str], *, int8: bool = False, threads: int | None = None) -> None:
        import onnxruntime  # imported here, because the package decodes with this file and needs no onnxruntime

        self.description = read_description(Path(folder))
        file = checked_model(Path(folder), self.description, INT8_MODEL if int8 else MODEL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has its own kinds
            raise UserError(f"{str(file)!r} cannot be loaded: {error}. Export again.") from error
        self.class_names: list[str] = self.description["class_names"]
        self.decoding = Decoding(**self.description["decoding"])
        sides = {part.name: part.shape[1:] for part in [*self.session.get_inputs(), *self.session.get_outputs()]}
        height, width, channels = self.decoding.shape
        expected = {"images": [channels, height, width], "probabilities": [len(self.class_names)]}
        for name, shape in expected.items():
            if sides.get(name) != shape:
                raise UserError(
                    f"{str(folder)!r} has a model with {name} of {sides.get(name)}, not {shape} as in {DESCRIPTION}. "
                    "Export again."
                )
        self.temperature: float = self.description["temperature"]
        self.abstain_below: float = self.description["abstain_below"]

    def __call__(self, images: Any, abstain_below: float | None = None) -> Predictions:
        """Classify images; see ``predict``."""
        return self.predict(images, abstain_below=abstain_below)

    def predict(
        self, images: Any, batch_size: int = BATCH_SIZE, top_k: int = TOP_K, abstain_below: float | None = None
    ) -> Predictions:
        """Classify images; they are made square and scaled as in training.

        The prediction for an unreadable image has an ``error`` and no class; the other images are classified.

        Args:
            images: the path of an image, of a folder (its images at any depth), of a CSV list or a pattern; a PIL
                image; a uint8 array (H, W) or (H, W, C) or tensor (C, H, W), of 1, 3 or 4 channels; several of these
                as an array (N, H, W, C) or tensor (N, C, H, W); or any iterable of images and paths of images.
            batch_size: images per batch.
            top_k: number of classes to return with their probabilities.
            abstain_below: abstain from naming a class if the highest probability is below this value; None uses the
                value of the export (0 for a checkpoint, which never abstains).

        Returns:
            a prediction for each image, in order.

        Raises:
            UserError: ``images`` is of no supported type.
        """
        return Predictions(self.stream(images, batch_size, top_k, abstain_below))

    def stream(
        self, images: Any, batch_size: int = BATCH_SIZE, top_k: int = TOP_K, abstain_below: float | None = None
    ) -> Iterator[Prediction]:
        """Like ``predict``, as an iterator; at most three batches of images are read ahead."""
        threshold = self.abstain_below if abstain_below is None else abstain_below
        for name, count in (("batch_size", batch_size), ("top_k", top_k)):
            if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count < 2**31:
                raise UserError(f"{name} is {count!r}; it must be a whole number of 1 or more.")
        if isinstance(threshold, bool) or not isinstance(threshold, int | float | np.number) or not 0 <= threshold <= 1:
            raise UserError(f"abstain_below is {threshold!r}; it must be a number from 0 to 1.")
        for sources, decoded in decode_batches(sources_of(images), self.decoding, batch_size):
            readable = [image for image in decoded if not isinstance(image, str)]  # the others are error messages
            shares = iter(self.classify(np.stack(readable).transpose(0, 3, 1, 2)) if readable else ())
            for source, image in zip(sources, decoded, strict=True):
                path = source if isinstance(source, str) else None
                if isinstance(image, str):
                    yield Prediction(path, error=image)
                else:
                    yield self._prediction(path, next(shares), top_k, threshold)

    def classify(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Calibrated probabilities (N, K) of decoded images (N, C, S, S), uint8, in one batch."""
        return np.asarray(self.session.run(["probabilities"], {"images": np.ascontiguousarray(images)})[0])

    def _prediction(self, path: str | None, shares: NDArray[np.float32], top_k: int, threshold: float) -> Prediction:
        if not np.isfinite(shares).all():
            return Prediction(path, error="the model's output is not finite")
        best = likeliest(shares, self.class_names, top_k)
        label, probability = next(iter(best.items()))
        abstains = probability < threshold
        return Prediction(path, label, probability, best, abstains, None, self.temperature, shares)


def read_description(folder: Path) -> dict[str, Any]:
    """The content of ``model.json``."""
    file = folder / DESCRIPTION
    try:
        description: dict[str, Any] = json.loads(read_file(file).decode("utf-8"))
        require_valid(description)
    except FileNotFoundError:
        raise UserError(f"{str(folder)!r} is not an export: it has no {DESCRIPTION}. Give a folder that export wrote.")  # noqa: B904
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{str(file)!r} cannot be read: {error}. Export again.") from error
    return description


def require_valid(description: Any) -> None:
    """Raise a ValueError unless the content of ``model.json`` is complete, of the right types and in range."""
    needed = {"format", "class_names", "decoding", "temperature", "abstain_below", "files"}
    if not isinstance(description, dict) or (missing := needed - description.keys()):
        raise ValueError(f"it lacks {', '.join(sorted(missing if isinstance(description, dict) else needed))}")
    if description["format"] != FORMAT:
        raise ValueError(f"its format is {description['format']!r}, and this version reads {FORMAT}")
    names, decoding, files = (description[name] for name in ("class_names", "decoding", "files"))
    for name, kind in (("class_names", list), ("decoding", dict), ("files", dict)):
        if not isinstance(description[name], kind) or not description[name]:
            raise ValueError(f"its {name} is {description[name]!r}")
    if not all(isinstance(text, str) and text for text in [*names, *files.values()]) or len(set(names)) < len(names):
        raise ValueError("its class_names and files must be texts, and each class different")
    side, is_plain = decoding.get("image_size"), decoding.keys() == {"image_size", "num_channels", "fit"}
    if type(side) is not int or not 1 <= side <= MAX_IMAGE_SIZE or not is_plain:
        raise ValueError(f"its decoding is {decoding!r}")
    if decoding["num_channels"] not in (1, 3) or decoding["fit"] not in ("crop", "pad", "squash"):
        raise ValueError(f"its decoding is {decoding!r}")
    for name, low, high in (("temperature", 0.001, 1000.0), ("abstain_below", 0.0, 1.0)):
        if type(description[name]) not in (int, float) or not low <= description[name] <= high:
            raise ValueError(f"its {name} is {description[name]!r}, expected {low:g} to {high:g}")


def checked_model(folder: Path, description: Mapping[str, Any], name: str) -> Path:
    """The path of a model, after a check that it is the file that was exported."""
    expected, file = description["files"].get(name), folder / name
    if expected is None or not file.is_file():
        there = [known for known in (MODEL, INT8_MODEL) if (folder / known).is_file()]
        raise UserError(f"{str(folder)!r} has no {name}; it has {', '.join(there) or 'no model'}. Export again.")
    if digest_of(file) != expected:
        raise UserError(f"{str(file)!r} was changed or damaged after the export: its SHA-256 differs. Export again.")
    return file


def digest_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def likeliest(shares: NDArray[np.float32], class_names: Sequence[str], k: int = TOP_K) -> dict[str, float]:
    """The k most probable classes with their probabilities, in descending order, from one image's shares (K,)."""
    order = np.argsort(-shares, kind="stable")[:k]
    return {class_names[position]: float(shares[position]) for position in order}


# The table.


class CsvRows:
    """Rows of a CSV file that end in a line feed; quotes a carriage return too, as ``csv`` does since Python 3.13."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, row: str) -> None:
        self.stream.write(row.removesuffix("\r\n") + "\n")


def write_csv(predictions: Iterable[Prediction], stream: IO[str], num_ranks: int) -> None:
    """Write one row per image: the predicted class, then the classes by rank. Missing values are empty."""
    writer = csv.DictWriter(CsvRows(stream), [*COLUMNS, *rank_columns(1, num_ranks)])
    writer.writeheader()
    for prediction in predictions:
        row = prediction.as_row()
        texts = {name: f"{value:.6f}" if isinstance(value, float) else value for name, value in row.items()}
        path = None if prediction.path is None else path_cell(prediction.path)
        writer.writerow(texts | {"path": path, "abstained": str(prediction.abstains).lower()})


def rank_columns(first: int, last: int) -> list[str]:
    """``class_2, probability_2, class_3, ...``: a pair for each rank."""
    return [f"{column}_{rank}" for rank in range(first, last + 1) for column in ("class", "probability")]


def path_cell(path: str) -> str:
    """The path as a cell that is no formula for spreadsheets: file names may come from untrusted sources."""
    return f"./{path}" if path.startswith(("=", "+", "-", "@", "\t", "\r")) else path


def main(args: Sequence[str] | None = None) -> int:
    """Classify images and write the table; returns 1 if some images cannot be read, 2 for wrong input, else 0."""
    parser = argparse.ArgumentParser(description="Classify images with an exported model and write a table.")
    parser.add_argument("export", help="folder written by export")
    parser.add_argument("inputs", nargs="+", metavar="PATH", help="image, folder, 'pattern', list.csv or -")
    parser.add_argument("--out", type=Path, default="predictions.csv", help="CSV file (default: predictions.csv)")
    parser.add_argument("--abstain_below", type=float, default=0.0, help="abstain below this probability (default: 0)")
    parser.add_argument("--int8", action="store_true", help="use the quantized model")
    arguments = parser.parse_args(args)
    failed: list[Prediction] = []
    temporary: Path = arguments.out.with_name(f".{arguments.out.name}.{os.getpid()}.tmp")

    def noted(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        for prediction in predictions:
            failed.extend([prediction] if prediction.error else [])
            yield prediction

    try:
        if arguments.out.exists() and not arguments.out.is_file():
            raise UserError(f"--out is {str(arguments.out)!r}, which is not a file and would be replaced. Give a file.")
        count_images(arguments.inputs)
        predictor = Predictor(arguments.export, int8=arguments.int8)
        sources = chain.from_iterable(map(paths_of, arguments.inputs))
        try:
            with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
                predictions = predictor.stream(sources, abstain_below=arguments.abstain_below)
                write_csv(noted(predictions), stream, min(TOP_K, len(predictor.class_names)))
            temporary.replace(arguments.out)
        finally:
            temporary.unlink(missing_ok=True)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    except OSError as error:
        file = str(arguments.out if error.filename in {None, str(temporary)} else error.filename)
        parser.exit(2, f"error: {file!r} cannot be read or written: {error.strerror or error}.\n")
    for prediction in failed[:20]:
        print(f"{prediction.path!r}: {prediction.error}", file=sys.stderr)
    print(arguments.out)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
