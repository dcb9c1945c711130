"""Opens each image file and measures its properties."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from ..content import digest_of
from ..decoding import UNDECODABLE, bar_options, error_text
from ..folder_index import FolderIndex, files_below, image_extensions
from ..splits import Split

JUNK = {"thumbs.db", "desktop.ini", "splits.csv"}
EXIF_ORIENTATION = 0x0112
SAMPLE_SIDE = 64  # side, in pixels, of the sample whose colours are counted
COLOUR_BITS = 4  # bits per channel when colours are counted


@dataclass(frozen=True)
class InspectedFile:
    """Properties of one file.

    Attributes:
        path: path of the file.
        class_name: name of its class folder.
        split: split of its folder; ``train`` without split folders.
        num_bytes: file size.
        digest: digest of its content.
        problem: why the file cannot be used for training; empty if it can. The remaining attributes are set only then.
        format: as Pillow calls it, such as ``JPEG``.
        width: in pixels, upright.
        height: in pixels, upright.
        mode: Pillow's mode, such as ``RGB``.
        rotated: whether its EXIF orientation rotates or mirrors it.
        perceptual_hash: 64 bits; similar images differ in few of them (Zauner, 2010: DCT of 32 x 32 pixels).
        num_colours: number of colours in a sample of its pixels, at 4 bits per channel.
        main_colour_share: share of the most frequent colour in that sample.
    """

    path: Path
    class_name: str
    split: Split
    num_bytes: int
    digest: str
    problem: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    rotated: bool = False
    perceptual_hash: int = 0
    num_colours: int = 0
    main_colour_share: float = 0.0


def inspect_folder(index: FolderIndex) -> list[InspectedFile]:
    """Open every file of every class folder, on all cores, with a progress bar."""
    jobs = list(class_files(index))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda job: inspect_file(*job), jobs)
        return list(track(results, "Opening images", total=len(jobs), **bar_options()))


def class_files(index: FolderIndex) -> Iterator[tuple[Path, str, Split]]:
    """All files in class folders, except hidden files and files that operating systems create."""
    folders = {
        (class_folder(file, index.root, index.class_names[label]), index.class_names[label], split)
        for split, files in index.files.items()
        for file, label in files
    }
    for folder, class_name, split in sorted(folders):
        for file in sorted(files_below(folder)):
            if file.name.lower() not in JUNK:
                yield file, class_name, split


def class_folder(file: Path, root: Path, class_name: str) -> Path:
    """The outermost folder of that name above the file."""
    parts = file.relative_to(root).parts
    return root.joinpath(*parts[: parts.index(class_name) + 1])


def inspect_file(path: Path, class_name: str, split: Split) -> InspectedFile:
    try:
        content = path.read_bytes()
    except OSError as error:
        return InspectedFile(path, class_name, split, 0, "", f"cannot be read: {error.strerror}")
    known = (path, class_name, split, len(content), digest_of(content))
    if not content:
        return InspectedFile(*known, problem="is empty")
    try:
        with Image.open(BytesIO(content)) as image:
            if path.suffix.lower() not in image_extensions():
                problem = f"is a {image.format} image, but not used because its name has no image extension"
                return InspectedFile(*known, problem=problem)
            return measure(known, image)
    except (OSError, *UNDECODABLE) as error:
        if path.suffix.lower() in image_extensions():
            return InspectedFile(*known, problem=f"cannot be decoded: {error_text(error)}")
        return InspectedFile(*known, problem="is not an image")


def measure(known: tuple[Path, str, Split, int, str], image: Image.Image) -> InspectedFile:
    """Measure an image.

    Raises:
        OSError: the image cannot be decoded.
    """
    from imagehash import phash

    orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    width, height = image.size if orientation < 5 else image.size[::-1]
    mode, image_format = image.mode, image.format or ""
    image.draft("RGB", (256, 256))
    image.load()
    rgb = image.convert("RGBA").convert("RGB") if "transparency" in image.info else image.convert("RGB")
    num_colours, main_colour_share = count_colours(rgb)
    bits = phash(rgb).hash.flatten()
    return InspectedFile(
        *known,
        format=image_format,
        width=width,
        height=height,
        mode=mode,
        rotated=orientation != 1,
        perceptual_hash=int("".join("1" if bit else "0" for bit in bits), 2),
        num_colours=num_colours,
        main_colour_share=main_colour_share,
    )


def count_colours(image: Image.Image) -> tuple[int, float]:
    """Number of colours, and share of the most frequent one, in a sample of an RGB image's pixels."""
    sample = np.asarray(image.resize((SAMPLE_SIDE, SAMPLE_SIDE), Image.Resampling.NEAREST)) >> (8 - COLOUR_BITS)
    _, counts = np.unique(sample.reshape(-1, 3), axis=0, return_counts=True)
    return len(counts), float(counts.max() / counts.sum())
