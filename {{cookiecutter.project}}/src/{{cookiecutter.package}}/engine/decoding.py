"""Decodes image files, and images in memory, to uint8 arrays of one size and colour mode, on all cores."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console
from torch import Tensor

from ..errors import UserError
from ..facts import Fit

# Exceptions that Pillow raises, besides OSError, for files that it cannot decode: RuntimeError for AVIF and DDS.
UNDECODABLE = (SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError)

Source = str | Path | Image.Image  # the path of a file, or an image in memory
Decoded = NDArray[np.uint8] | str


@dataclass(frozen=True)
class Decoding:
    """Settings of decoding, as in ``ImageFacts``; two runs with equal settings share cached images."""

    image_size: int
    num_channels: int
    fit: Fit

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
            with Image.open(source) as image:
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
    if image.mode == "F":
        raise OSError("floating-point pixels have no defined range; save the image with 8 or 16 bits per channel")
    if image.mode.startswith("I"):  # 16 bits: Pillow's own conversion clips at 255 instead of scaling
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    mode = "L" if num_channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)  # convert() always copies


ALLOWED = "Allowed: a PIL image, a uint8 array (H, W) or (H, W, C), a uint8 tensor (C, H, W)"


def to_image(pixels: Any, name: str, allowed: str = ALLOWED) -> Image.Image:
    """The PIL image of uint8 (H, W) or (H, W, C), or of a tensor (H, W) or (C, H, W), where C is 1, 3 or 4."""
    if isinstance(pixels, Image.Image):
        return pixels
    if not isinstance(pixels, Tensor) and not (isinstance(pixels, np.ndarray) and pixels.dtype.kind not in "OSU"):
        raise UserError(f"{name} is of type {type(pixels).__name__}. {allowed}.")
    array = pixels.cpu().numpy() if isinstance(pixels, Tensor) else pixels
    if array.dtype != np.uint8:
        raise UserError(f"{name} has the type {array.dtype}: pixels must be uint8, from 0 to 255.")
    if isinstance(pixels, Tensor) and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)  # (H, W, C)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {3, 4})):
        raise UserError(f"{name} has the shape {tuple(pixels.shape)}. {allowed}, with 1, 3 or 4 channels.")
    return Image.fromarray(np.ascontiguousarray(array))


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
        return decoding.decode(source if isinstance(source, Image.Image) else BytesIO(Path(source).read_bytes()))
    except OSError as error:
        return error.strerror or error_text(error)
    except ValueError as error:  # a path with a null character
        return str(error)


def error_text(error: BaseException) -> str:
    """Pillow's error message without the memory address of a buffer."""
    return str(error).split(" <_io")[0] or type(error).__name__


def bar_options() -> dict[str, Any]:
    """Options of a rich progress bar on standard error: nothing is drawn where that is no terminal."""
    console = Console(stderr=True)
    return {"console": console, "transient": True, "disable": not console.is_terminal}
