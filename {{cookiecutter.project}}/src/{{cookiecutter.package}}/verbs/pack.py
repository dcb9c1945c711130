"""Pack a folder of images into chunks, which trainings stream from a disk or a bucket."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..data import ImageFolderDataModule
from ..data.packed.description import Description
from ..data.packed.encoding import Encoding, Stored
from ..data.packed.parts import PackSettings
from ..data.packed.stores import FolderStore, Store, open_store
from ..data.packed.writing import Packed
from ..data.packed.writing import pack as write_packed
from ..errors import UserError
from .verb_parser import VerbParser

EPILOGUE = """\
OUT is a folder, or s3://bucket/folder with credentials from the environment. Run the same command again after an
interruption: it writes only what is missing or damaged. To train on the result:
  --data StreamingImageDataModule --data.root OUT
"""
MAX_CHUNK_MEGABYTES = 1024  # litdata's offsets end at 4 GB, and chunks are downloaded as a whole


def build_parser() -> argparse.ArgumentParser:
    parser = VerbParser("pack", __doc__, EPILOGUE)
    add = parser.add_argument
    add("root", type=Path, help="folder of images: ROOT/<class>/* or ROOT/train/<class>/*")
    add("out", help="output: a new folder, or s3://bucket/folder")
    add("--splits", metavar="FILE", help="manifest written by split (default: ROOT/splits.csv if it exists)")
    add("--val_fraction", type=float, default=0.15, help="share for val, if there is no val folder (default: 0.15)")
    add("--test_fraction", type=float, default=0.15, help="share for test, if there is no test folder (default: 0.15)")
    add("--split_seed", type=int, default=0, help="seed of carved splits (default: 0)")
    add("--workers", type=int, help="number of threads (default: one per core)")
    add("--chunk_megabytes", type=float, default=64.0, help="approximate size of a chunk (default: 64)")
    add("--image_size", type=int, help="shorter side of re-encoded images, or side of decoded images, in pixels")
    add("--quality", type=int, help="JPEG quality of re-encoded images (default: 90)")
    add("--decoded", action="store_true", help="store pixels, so that training need not decode; requires --image_size")
    add("--fit", choices=("crop", "pad", "squash"), default="crop", help="how images are made square (default: crop)")
    add("--num_channels", type=int, choices=(1, 3), default=3, help="3 (RGB) or 1 (grey) (default: 3)")
    add("--unreadable", choices=("error", "skip"), default="error", help="unreadable files: list them and stop, "
        "or leave them out (default: error)")  # fmt: skip
    add("--overwrite", action="store_true", help="replace another packed data set in OUT")
    add("--endpoint_url", help="address of an S3-compatible server (default: AWS_ENDPOINT_URL)")
    return parser


def pack(options: Sequence[str]) -> None:
    """Write the chunks, and print a summary.

    Raises:
        UserError: an option is wrong, images cannot be read, or OUT cannot be written or holds other files.
    """
    arguments = build_parser().parse_args(options)
    settings = settings_of(arguments)
    store = open_store(arguments.out, arguments.endpoint_url)
    require_apart(arguments.root, store)
    folder = ImageFolderDataModule(
        root=str(arguments.root),
        image_size=arguments.image_size or 224,
        fit=arguments.fit,
        num_channels=arguments.num_channels,
        val_fraction=arguments.val_fraction,
        test_fraction=arguments.test_fraction,
        split_seed=arguments.split_seed,
        splits=arguments.splits,
        cache="none",
    )
    packed = write_packed(folder, store, settings)
    print_packed(packed, arguments.out)


def settings_of(arguments: argparse.Namespace) -> PackSettings:
    """Check the options, and convert them to settings."""
    image_size, quality = arguments.image_size, arguments.quality
    if not 0 < arguments.chunk_megabytes <= MAX_CHUNK_MEGABYTES:
        raise UserError(
            f"--chunk_megabytes is {arguments.chunk_megabytes}; it must be above 0 and at most {MAX_CHUNK_MEGABYTES}."
        )
    if arguments.workers is not None and arguments.workers < 1:
        raise UserError(f"--workers is {arguments.workers}; it must be 1 or more.")
    if image_size is not None and image_size < 1:
        raise UserError(f"--image_size is {image_size}; it must be 1 or more.")
    if arguments.decoded and image_size is None:
        raise UserError("--decoded needs --image_size: all decoded images have one size, for example 224.")
    if quality is not None and (arguments.decoded or image_size is None or not 1 <= quality <= 95):
        raise UserError(f"--quality is {quality}; it must be from 1 to 95, with --image_size and without --decoded.")
    stored: Stored = "decoded" if arguments.decoded else "jpeg" if image_size else "files"
    if stored == "jpeg":
        quality = quality or 90
    encoding = Encoding(stored, image_size, quality, arguments.num_channels, arguments.fit)
    return PackSettings(
        encoding, arguments.chunk_megabytes, arguments.workers, arguments.unreadable, arguments.overwrite
    )


def require_apart(root: Path, store: Store) -> None:
    """Refuse to write into the folder of images, where chunks would be read as a class, or into a file."""
    if not isinstance(store, FolderStore):
        return
    out = store.root.resolve()
    if out == root.resolve() or root.resolve() in out.parents:
        raise UserError(f"OUT is {store.url!r}, which is inside {str(root)!r}. Give a folder outside it.")
    if out.exists() and not out.is_dir():
        raise UserError(f"OUT is {store.url!r}, which is a file. Give a folder, or s3://bucket/folder.")


def print_packed(packed: Packed, out: str) -> None:
    description: Description = packed.description
    table = Table()
    for heading in ("split", "images", "chunks"):
        table.add_column(heading, justify="left" if heading == "split" else "right")
    for split, found in description.splits.items():
        table.add_row(split, f"{found.num_images:,}", f"{found.num_chunks:,}")
    Console().print(table)
    kept = f"; {packed.num_kept} of them existed before" if packed.num_kept else ""
    print(f"{packed.num_chunks} chunks, {packed.num_bytes / 1e6:,.1f} MB{kept}")
    print(f"--data StreamingImageDataModule --data.root {out}")
