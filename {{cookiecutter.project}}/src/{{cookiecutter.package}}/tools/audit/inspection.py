"""Opens each image file and measures its properties."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from ...engine.folder import FolderIndex
from ...engine.progress import bar_options
from ...engine.splits import Split, digest_of
from ...predictor import UNDECODABLE, error_text, files_below, image_extensions, read_file

JUNK = {"thumbs.db", "desktop.ini", "splits.csv"}


@dataclass(frozen=True)
class InspectedFile:
    """Properties of one file; those below ``problem`` are set only if there is none."""

    path: Path
    class_name: str  # of its class folder
    split: Split  # of its folder; train without split folders
    digest: str = ""  # of its content
    problem: str = ""  # why the file cannot be used for training
    format: str = ""  # as Pillow calls it, such as JPEG
    width: int = 0  # in pixels, upright
    height: int = 0  # in pixels, upright
    mode: str = ""  # as Pillow calls it, such as RGB
    rotated: bool = False  # whether its EXIF orientation rotates or mirrors it
    perceptual_hash: int = 0  # 64 bits; similar images differ in few (Zauner, 2010: DCT of 32 x 32 pixels)
    is_grey: bool = False  # in every pixel
    num_colours: int = 0  # in a sample of its pixels, at 4 bits per channel, or shades of grey at 8 bits
    main_colour_share: float = 0.0  # share of the most frequent colour in that sample


def inspect_folder(index: FolderIndex, limit: int | None = None) -> list[InspectedFile]:
    """Open all files of the class folders, except hidden and system files, on all cores, with a progress bar.

    With a ``limit``, at most that many are opened, evenly spaced in path order.
    """
    folders = set()
    for split, listed in index.files.items():
        for path, label in listed:
            name, parts = index.class_names[label], path.relative_to(index.root).parts
            folders.add((index.root.joinpath(*parts[: parts.index(name) + 1]), name, split))
    found = ((path, name, split) for folder, name, split in sorted(folders) for path in sorted(files_below(folder)))
    files = [InspectedFile(*place) for place in found if place[0].name.lower() not in JUNK]
    if limit is not None and len(files) > limit:
        files = [files[num * len(files) // limit] for num in range(limit)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(track(pool.map(inspect_file, files), "Opening images", total=len(files), **bar_options()))


def inspect_file(file: InspectedFile) -> InspectedFile:
    """Open the file and set its other properties."""
    try:
        content = read_file(file.path)
    except OSError as error:
        return replace(file, problem=f"cannot be read: {error.strerror}")
    file = replace(file, digest=digest_of(content))
    has_extension = file.path.suffix.lower() in image_extensions()
    if not content:
        return replace(file, problem="is empty")
    try:
        with Image.open(BytesIO(content)) as image:
            if has_extension:
                return replace(file, **measure(image))
            problem = f"is a {image.format} image, but not used because its name has no image extension"
    except (OSError, *UNDECODABLE) as error:
        problem = f"cannot be decoded: {error_text(error)}" if has_extension else "is not an image"
    return replace(file, problem=problem)


def measure(image: Image.Image) -> dict[str, Any]:
    """The properties of an image; decoding it may fail."""
    from imagehash import phash

    orientation = image.getexif().get(0x0112, 1)
    width, height = image.size if orientation < 5 else image.size[::-1]
    known = {"format": image.format or "", "mode": image.mode, "width": width, "height": height}
    image.draft("RGB", (256, 256))
    image.load()
    rgb = image.convert("RGBA").convert("RGB") if "transparency" in image.info else image.convert("RGB")
    sample = np.asarray(rgb.resize((64, 64), Image.Resampling.NEAREST))
    is_grey = bool((sample == sample[..., :1]).all())
    # The 16 shades of grey at 4 bits would be as few as the colours of a placeholder.
    sample = sample if is_grey else sample >> 4
    _, counts = np.unique(sample.reshape(-1, 3), axis=0, return_counts=True)
    return known | {
        "rotated": orientation != 1,
        "perceptual_hash": int(str(phash(rgb)), 16),
        "is_grey": is_grey,
        "num_colours": len(counts),
        "main_colour_share": float(counts.max() / counts.sum()),
    }
