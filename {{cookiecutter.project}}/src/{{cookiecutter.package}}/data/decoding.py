"""Image files become uint8 tensors of one size and mode, decoded in parallel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from rich.progress import track
from torch import Tensor

from .facts import Fit


def decode_image(path: Path, image_size: int, num_channels: int, fit: Fit) -> Tensor:
    """Read one image as uint8 (C, image_size, image_size), turned upright as its EXIF orientation says.

    The same function serves training and prediction, so that they cannot disagree. Transparent pixels become white.

    Raises:
        OSError: the file is missing, truncated, not an image, or has pixels of no defined range.
    """
    try:
        with Image.open(path) as image:
            # JPEG only: decode at the smallest scale that is still large enough, several times faster for photographs.
            image.draft("RGB", (2 * image_size, 2 * image_size))
            square = fit_square(to_mode(ImageOps.exif_transpose(image), num_channels), image_size, fit)
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(f"cannot decode: {error}") from error
    pixels = torch.from_numpy(np.array(square))
    return pixels.unsqueeze(0) if num_channels == 1 else pixels.permute(2, 0, 1)


def to_mode(image: Image.Image, num_channels: int) -> Image.Image:
    """Convert any mode (grey, palette, alpha, CMYK, 16 bit) to 8-bit grey or RGB."""
    if image.mode == "F":
        raise OSError("floating-point pixels have no defined range; save the image with 8 or 16 bits a channel")
    if image.mode.startswith("I"):  # 16 bits: Pillow's own conversion clips at 255 instead of scaling
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if num_channels == 1 else "RGB")


def fit_square(image: Image.Image, image_size: int, fit: Fit) -> Image.Image:
    """Make an image square at ``image_size`` pixels: see ``ImageFacts.fit``."""
    size, method = (image_size, image_size), Image.Resampling.BILINEAR
    if fit == "crop":
        return ImageOps.fit(image, size, method)
    if fit == "pad":
        return ImageOps.pad(image, size, method)
    return image.resize(size, method)


def decode_all(
    paths: Sequence[Path], image_size: int, num_channels: int, fit: Fit, description: str
) -> tuple[Tensor, dict[int, str]]:
    """Decode files on all cores, showing progress.

    Returns:
        uint8 (N, C, image_size, image_size), and for each position that could not be read (left black) the reason.
    """
    images = torch.zeros(len(paths), num_channels, image_size, image_size, dtype=torch.uint8)
    failures: dict[int, str] = {}

    def decode_into(position: int) -> None:
        try:
            images[position] = decode_image(paths[position], image_size, num_channels, fit)
        except OSError as error:
            failures[position] = str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(track(pool.map(decode_into, range(len(paths))), description, total=len(paths), transient=True))
    return images, failures
