"""Folders of photographs and of noise, as large as a measurement needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

NUM_PICTURES, NUM_CLASSES = 50, 10
ALL_FOR_TRAINING = {"train": "train", "val": "val", "test": "val"}  # nothing is carved off


def link_photographs(source: Path, root: Path, folders: Mapping[str, str] = ALL_FOR_TRAINING) -> Path:
    """A folder of links to the JPEG files, which are all that ImageFolder finds there.

    Args:
        source: folder with a folder for each of its splits.
        root: the folder to make.
        folders: for each split of ``root``, the folder of ``source``.
    """
    for split, folder in folders.items():
        for file in sorted((source / folder).glob("*/*.jpg")):
            link = root / split / file.parent.name / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.resolve())
    return root


def copy_photographs(source: Path, root: Path, num_images: int) -> None:
    """``root/<class>/*``, the photographs of ``source/<class>`` in turns, as often as needed."""
    files = sorted(source.glob("*/*.jpg"), key=lambda file: file.name)  # which mixes the classes
    for number in range(num_images):
        file = files[number % len(files)]
        write(root / file.parent.name / f"{number}.jpg", file.read_bytes(), number)


def write_noise(root: Path, num_images: int, height: int, width: int) -> None:
    """``root/<class>/*``: JPEG files of noise."""
    pictures = list(noise(height, width))
    for number in range(num_images):
        write(root / f"class {number % NUM_CLASSES}" / f"{number}.jpg", pictures[number % NUM_PICTURES], number)


def noise(height: int, width: int) -> Iterator[bytes]:
    generator = np.random.default_rng(0)
    for _ in range(NUM_PICTURES):
        stream = BytesIO()
        pixels = generator.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stream, "JPEG", quality=60)
        yield stream.getvalue()


def write(file: Path, content: bytes, number: int) -> None:
    """With bytes of its own behind its end: a cache that knows contents takes all for new."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content + number.to_bytes(4, "big"))
