"""Decodes image files to uint8 arrays of one size and colour mode."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console

from .facts import Fit

# Exceptions that Pillow raises, besides OSError, for files that it cannot decode: RuntimeError for AVIF and DDS.
UNDECODABLE = (SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError)


def bar_options() -> dict[str, Any]:
    """Options of a rich progress bar on standard error: nothing is drawn where that is no terminal."""
    console = Console(stderr=True)
    return {"console": console, "transient": True, "disable": not console.is_terminal}


@dataclass(frozen=True)
class Decoding:
    """Settings of decoding; two runs with equal settings share cached images.

    Attributes:
        image_size: side in pixels.
        num_channels: 3 (RGB) or 1 (grey).
        fit: how images are made square; see ``ImageFacts.fit``.
    """

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

    def decode(self, file: Path | BytesIO) -> NDArray[np.uint8]:
        """Read one image as uint8 (H, W, C), rotated according to its EXIF orientation.

        Training and prediction both use this function. Transparent pixels become white.

        Raises:
            OSError: the file is missing, truncated or not an image, or its pixel values have no defined range.
        """
        try:
            with Image.open(file) as image:
                # JPEG only: decode at the smallest scale that is large enough, three times faster for 12 megapixels.
                image.draft("RGB", (2 * self.image_size, 2 * self.image_size))
                ImageOps.exif_transpose(image, in_place=True)
                return self._pixels(image)
        except UNDECODABLE as error:
            raise OSError(f"cannot decode: {error}") from error

    def convert(self, image: Image.Image) -> NDArray[np.uint8]:
        """Like ``decode``, for an image in memory; the image is not modified."""
        try:
            return self._pixels(ImageOps.exif_transpose(image))
        except UNDECODABLE as error:
            raise OSError(f"cannot decode: {error}") from error

    def _pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        square = fit_square(to_mode(image, self.num_channels), self.image_size, self.fit)
        return np.asarray(square).reshape(self.shape)


def error_text(error: BaseException) -> str:
    """Pillow's error message without the memory address of a buffer."""
    return str(error).split(" <_io")[0] or type(error).__name__


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


def fit_square(image: Image.Image, image_size: int, fit: Fit) -> Image.Image:
    """Make an image square, with sides of ``image_size`` pixels; see ``ImageFacts.fit``."""
    size, method = (image_size, image_size), Image.Resampling.BILINEAR
    if fit == "crop":
        return ImageOps.fit(image, size, method)
    if fit == "pad":
        return ImageOps.pad(image, size, method)
    return image.resize(size, method)
