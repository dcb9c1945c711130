"""Pack a folder of images into chunks, which trainings stream from a disk or a bucket."""

import argparse
import io
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table
from torch import Tensor

from ...data import ImageFolderDataModule
from ...engine.progress import bar_options
from ...engine.reading import checked
from ...engine.recipes import VerbParser
from ...engine.splits import SPLITS, Split, content_hash, digest_of, short_digests
from ...engine.streaming.format import DATASET, DIGEST_TABLE, Description, PackedSplit, index_of, sha256
from ...engine.streaming.stores import Chunk, FolderStore, MissingError, Store, open_store, require_litdata
from ...errors import UserError, some
from ...facts import Fit
from ...predictor import UNDECODABLE, Decoding, error_text, read_file, to_mode
from ...values import Depth, Fraction, Quality, Seed, Size

log = logging.getLogger(__name__)

EPILOGUE = """\
OUT is a folder, or s3://bucket/folder with credentials from the environment. Run the same command again after an
interruption: it writes only what is missing or damaged. To train on the result:
  --data StreamingImageDataModule --data.root OUT
"""
MARKER = "packing.json"  # written first: identifies what is packed into a store
MAX_CHUNK_MEGABYTES = 1024  # litdata's offsets end at 4 GB, and chunks are downloaded as a whole


def build_parser() -> argparse.ArgumentParser:
    parser = VerbParser("pack", __doc__, EPILOGUE)
    add = parser.add_argument
    add("root", type=Path, help="folder of images: ROOT/<class>/* or ROOT/train/<class>/*")
    add("out", help="output: a new folder, or s3://bucket/folder")
    add("--splits", metavar="FILE", help="manifest written by split (default: ROOT/splits.csv if it exists)")
    for split in ("val", "test"):
        fraction_help = f"share for {split}, if there is no {split} folder (default: 0.15)"
        add(f"--{split}_fraction", type=Fraction, default=0.15, help=fraction_help)
    add("--split_seed", type=Seed, default=0, help="seed of carved splits (default: 0)")
    add("--workers", type=Depth, help="number of threads (default: one per core)")
    add("--chunk_megabytes", type=float, default=64.0, help="approximate size of a chunk (default: 64)")
    image_size_help = "shorter side of re-encoded images, or side of decoded images, in pixels"
    add("--image_size", type=Size, help=image_size_help)
    add("--quality", type=Quality, help="JPEG quality of re-encoded images (default: 90)")
    add("--decoded", action="store_true", help="store pixels, so that training need not decode; requires --image_size")
    add("--fit", choices=("crop", "pad", "squash"), default="crop", help="how images are made square (default: crop)")
    add("--num_channels", type=int, choices=(1, 3), default=3, help="3 (RGB) or 1 (grey) (default: 3)")
    unreadable_help = "unreadable files: list them and stop, or leave them out (default: error)"
    add("--unreadable", choices=("error", "skip"), default="error", help=unreadable_help)
    add("--overwrite", action="store_true", help="replace another packed data set in OUT")
    add("--endpoint_url", help="address of an S3-compatible server (default: AWS_ENDPOINT_URL)")
    return parser


def pack(options: Sequence[str]) -> None:
    """Write the chunks of all splits, then their tables and the description, and print a summary."""
    arguments = build_parser().parse_args(options)
    encoding = encoding_of(arguments)
    store = open_store(arguments.out, arguments.endpoint_url)
    require_apart(arguments.root, store)
    require_litdata()
    names = ("fit", "num_channels", "val_fraction", "test_fraction", "split_seed", "splits")
    same = {name: getattr(arguments, name) for name in names}
    folder = ImageFolderDataModule(str(arguments.root), image_size=arguments.image_size or 224, cache="none", **same)
    parts = plan_parts(folder, encoding, arguments.chunk_megabytes)
    rows = [[part.split, part.names, part.labels] for part in parts]
    plan = sha256(json.dumps([asdict(encoding), folder.index.class_names, rows]).encode())
    claim(store, plan, overwrite=arguments.overwrite)
    records, num_kept = write_parts(parts, store, encoding, arguments.workers, skip=arguments.unreadable == "skip")
    if unreadable := {name: reason for record in records for name, reason in record.unreadable.items()}:
        shown = some([f"{name}: {reason}" for name, reason in unreadable.items()])
        message = f"{len(unreadable)} of {sum(len(part.files) for part in parts)} images cannot be read: {shown}."
        if arguments.unreadable == "error":
            raise UserError(
                f"{message} Repair or remove them, or leave them out with --unreadable skip. Finished chunks are kept."
            )
        log.warning("%s They are left out.", message)
    facts = folder.facts
    splits, split_hash = write_tables(parts, records, facts.num_classes, store)
    settings = {name: value for name, value in asdict(encoding).items() if name != "quality"}
    description = Description(
        **settings,
        class_names=facts.class_names,
        mean=facts.mean,
        std=facts.std,
        split_hash=split_hash,
        splits=splits,
        plan=plan,
        unreadable=unreadable,
    )
    store.write(DATASET, (json.dumps(asdict(description), indent=1) + "\n").encode())
    table = Table("split", *(Column(name, justify="right") for name in ("images", "chunks")))
    for split, packed in splits.items():
        table.add_row(split, f"{packed.num_images:,}", f"{packed.num_chunks:,}")
    Console().print(table)
    num_bytes = sum(record.chunk.num_bytes for record in records if record.chunk)
    kept = f"; {num_kept} of them existed before" if num_kept else ""
    print(f"{len(parts)} chunks, {num_bytes / 1e6:,.1f} MB{kept}")
    print(f"--data StreamingImageDataModule --data.root {arguments.out}")


@dataclass(frozen=True)
class Encoding:
    """How image files are stored. The fields are part of the digests that identify a packing."""

    stored: Literal["files", "jpeg", "decoded"]  # the bytes of each file, a smaller JPEG, or pixels
    image_size: int | None  # the shorter side of a JPEG, or the side of a decoded square, in pixels
    quality: int | None  # of a JPEG
    num_channels: Literal[1, 3]
    fit: Fit  # of decoded images

    @property
    def decoding(self) -> Decoding:
        # As a check, files that are stored unchanged are decoded at 64 pixels.
        return Decoding(self.image_size or 64, self.num_channels, self.fit)

    def encode(self, content: bytes) -> bytes:
        """The bytes to store of a file with that content; raises OSError if it cannot be decoded."""
        if self.stored != "jpeg":
            pixels = self.decoding.decode(io.BytesIO(content))
            return pixels.tobytes() if self.stored == "decoded" else content
        side, stream = self.decoding.image_size, io.BytesIO()
        try:
            with Image.open(io.BytesIO(content)) as image:
                image.draft("RGB", (2 * side, 2 * side))
                ImageOps.exif_transpose(image, in_place=True)
                upright = to_mode(image, self.num_channels)
                if min(upright.size) > side:
                    upright = ImageOps.cover(upright, (side, side), Image.Resampling.BILINEAR)
                upright.save(stream, "JPEG", quality=self.quality)
                return stream.getvalue()
        except UNDECODABLE as error:
            raise OSError(f"cannot decode: {error}") from error


def encoding_of(arguments: argparse.Namespace) -> Encoding:
    """Check the options, and return how images are stored."""
    image_size, quality = arguments.image_size, arguments.quality
    if not 0 < arguments.chunk_megabytes <= MAX_CHUNK_MEGABYTES:
        raise UserError(
            f"--chunk_megabytes is {arguments.chunk_megabytes}; it must be above 0 and at most {MAX_CHUNK_MEGABYTES}."
        )
    if arguments.decoded and image_size is None:
        raise UserError("--decoded needs --image_size: all decoded images have one size, for example 224.")
    if quality is not None and (arguments.decoded or image_size is None):
        raise UserError(f"--quality is {quality}; it needs --image_size, and cannot be given with --decoded.")
    if image_size and not arguments.decoded:
        return Encoding("jpeg", image_size, quality or 90, arguments.num_channels, arguments.fit)
    return Encoding("decoded" if image_size else "files", image_size, None, arguments.num_channels, arguments.fit)


def require_apart(root: Path, store: Store) -> None:
    """Refuse to write into the folder of images, where chunks would be read as a class, or into a file."""
    out = store.root.resolve() if isinstance(store, FolderStore) else None
    if out and out.is_relative_to(root.resolve()):
        raise UserError(f"OUT is {store.url!r}, which is inside {str(root)!r}. Give a folder outside it.")
    if out and out.exists() and not out.is_dir():
        raise UserError(f"OUT is {store.url!r}, which is a file. Give a folder, or s3://bucket/folder.")


def claim(store: Store, plan: str, *, overwrite: bool) -> None:
    """Check that a store is empty, or holds this data set, completely or in part."""
    try:
        found = json.loads(store.read(MARKER)).get("plan")
    except (ValueError, AttributeError):
        found = "unknown"
    except MissingError:
        found = None
    if found is None and not store.is_empty():
        raise UserError(f"OUT is {store.url!r}, which holds other files. Give a new or empty folder.")
    if found not in {None, plan} and not overwrite:
        raise UserError(
            f"OUT is {store.url!r}, which holds a data set packed from other images, splits or settings. Give another "
            "OUT, or replace it with --overwrite."
        )
    if found != plan:
        store.write(MARKER, json.dumps({"plan": plan}).encode())


@dataclass(frozen=True)
class Part:
    """Files that are packed into one chunk."""

    split: Split
    number: int  # within the split
    files: list[Path]
    names: list[str]  # relative to the root
    labels: list[int]


@dataclass(frozen=True)
class Record:
    """Record of a packed part, stored with its chunk."""

    key: str  # digest of settings, names, labels, file sizes and times: it changes when a file does
    chunk: Chunk | None  # None if none of its images can be read
    names: list[str]  # of the images in the chunk
    labels: list[int]
    unreadable: dict[str, str]  # files left out, each with the reason
    config: dict[str, Any]  # of litdata's writer
    digests: list[str]  # of the contents of the files


def plan_parts(folder: ImageFolderDataModule, encoding: Encoding, chunk_megabytes: float) -> list[Part]:
    """Plan chunks of about equal size; training images are in random order, so that each chunk has all classes."""
    parts = []
    for split in SPLITS:
        files = folder.split_files[split]
        if split == "train":
            files = [files[position] for position in np.random.default_rng(0).permutation(len(files))]
        num_bytes = encoding.decoding.num_bytes
        if encoding.stored != "decoded":
            num_bytes = max(1, sum(file.stat().st_size for file, _ in files if file.exists()) // len(files))
        step = max(1, int(chunk_megabytes * 1e6 / num_bytes))
        for number, start in enumerate(range(0, len(files), step)):
            paths, labels = map(list, zip(*files[start : start + step], strict=True))
            names = [path.relative_to(folder.root).as_posix() for path in paths]
            parts.append(Part(split, number, paths, names, labels))
    return parts


def write_parts(
    parts: Sequence[Part], store: Store, encoding: Encoding, workers: int | None, *, skip: bool
) -> tuple[list[Record], int]:
    """Write missing parts in threads, with a progress bar; returns the records, and how many parts existed before."""

    def settle(part: Part) -> tuple[Record, bool]:
        stats = [(stat.st_size, stat.st_mtime_ns) for stat in (file.stat() for file in part.files if file.exists())]
        key = sha256(json.dumps([[asdict(encoding), part.names, part.labels], stats]).encode())
        name = f"{part.split}/parts/{part.number}.json"
        try:
            known: Record = checked(json.loads(store.read(name)), Record, name, "")
            if known.key == key and (known.chunk is None or store.has(known.chunk)):
                return known, True
        except (MissingError, ValueError, UserError):
            pass  # there is no record, or that of an older version
        record, content = encode_part(part, key, encoding)
        if skip or not record.unreadable:
            if record.chunk is not None:
                store.write(record.chunk.name, content)
            store.write(name, json.dumps(asdict(record)).encode())
        return record, False

    # Threads are enough: reading, decoding and hashing release Python's global lock.
    with ThreadPoolExecutor(workers or os.cpu_count(), "pack") as pool:
        settled = list(track(pool.map(settle, parts), "packing", total=len(parts), **bar_options()))
    return [record for record, _ in settled], sum(was_there for _, was_there in settled)


def encode_part(part: Part, key: str, encoding: Encoding) -> tuple[Record, bytes]:
    """Read and encode the images of a part; returns its record, and its chunk in litdata's format."""
    from litdata.streaming.writer import BinaryWriter

    packed: list[tuple[str, int, str]] = []
    unreadable: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        writer = BinaryWriter(folder, chunk_bytes=2**32 - 1)  # litdata's offsets are uint32
        for file, name, label in zip(part.files, part.names, part.labels, strict=True):
            try:
                content = read_file(file)
                stored = encoding.encode(content)
            except OSError as error:
                unreadable[name] = error.strerror or error_text(error)
                continue
            writer.add_item(len(packed), (stored, label))
            packed.append((name, label, digest_of(content)))
        if not packed:
            return Record(key, None, [], [], unreadable, {}, []), b""
        written = Path(writer.write_chunk(on_done=True)).read_bytes()
    chunk = Chunk(f"{part.split}/chunk-0-{part.number}.bin", len(packed), len(written), sha256(written))
    names, labels, digests = map(list, zip(*packed, strict=True))
    return Record(key, chunk, names, labels, unreadable, writer.get_config(), digests), written


def write_tables(
    parts: Sequence[Part], records: Sequence[Record], num_classes: int, store: Store
) -> tuple[dict[Split, PackedSplit], str]:
    """Write the tables of all splits; returns their sizes and digests, and the split hash."""
    splits: dict[Split, PackedSplit] = {}
    columns: dict[str, tuple[Tensor, Tensor]] = {}
    for split in SPLITS:
        found = [record for part, record in zip(parts, records, strict=True) if part.split == split and record.chunk]
        if not found:
            raise UserError(f"no image of {split} can be read, so there is nothing to pack.")
        names = [name for record in found for name in record.names]
        labels = torch.tensor([label for record in found for label in record.labels])
        digests = short_digests(digest for record in found for digest in record.digests)
        chunks = [record.chunk for record in found if record.chunk]
        tables = {
            "index.json": index_of(chunks, found[0].config, split),
            "names.txt": b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in names),
            "labels.npy": npy_of(labels.to(torch.int32)),
            DIGEST_TABLE: npy_of(digests),
        }
        for name, content in tables.items():
            store.write(f"{split}/{name}", content)
        counts = labels.bincount(minlength=num_classes).tolist()
        sums = {name: sha256(content) for name, content in tables.items()}
        splits[split] = PackedSplit(len(names), len(chunks), counts, sums)
        columns[split] = digests, labels
    return splits, content_hash(columns)


def npy_of(column: Tensor) -> bytes:
    stream = io.BytesIO()
    np.save(stream, column.numpy())
    return stream.getvalue()
