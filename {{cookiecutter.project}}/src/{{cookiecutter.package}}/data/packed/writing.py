"""Pack a folder of images into chunks, in parallel; after an interruption, only missing chunks are written."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...errors import UserError, some
from ..content import content_hash, digest_of, short_digests
from ..decoding import bar_options
from ..image_folder import NUM_REASONS_SHOWN, ImageFolderDataModule
from ..splits import SPLITS, Split
from .chunk_cache import digest_of_file, is_intact
from .description import (
    DIGESTS,
    FILE_NAME,
    Chunk,
    Description,
    PackedSplit,
    array_to_bytes,
    names_to_bytes,
    sha256,
    to_index,
)
from .parts import PackSettings, Part, Record, identity, plan_parts
from .stores import FolderStore, MissingError, Store, read_file, require_litdata, write_file

log = logging.getLogger(__name__)

MARKER = "packing.json"  # written first: identifies what is packed into a store
MAX_CHUNK_BYTES = 2**32 - 1  # litdata's offsets are uint32


@dataclass(frozen=True)
class Packed:
    """Result of a packing.

    Attributes:
        description: of the data set.
        num_chunks: number of chunks.
        num_kept: number of chunks that existed before.
        num_bytes: size of all chunks.
    """

    description: Description
    num_chunks: int
    num_kept: int
    num_bytes: int


def pack(folder: ImageFolderDataModule, store: Store, settings: PackSettings) -> Packed:
    """Write the splits of an image folder to a store.

    Raises:
        UserError: there is no such folder, images cannot be read, or the store holds other files or does not answer.
    """
    require_litdata()
    parts = plan_parts(folder, settings)
    plan = identity(parts, folder, settings)
    claim(store, plan, overwrite=settings.overwrite)
    records, num_kept = write_parts(parts, store, settings)
    unreadable = {name: why for record in records for name, why in record.unreadable.items()}
    report(unreadable, sum(len(part.files) for part in parts), settings)
    description = describe(parts, records, folder, settings, store, plan, unreadable)
    write_file(store, FILE_NAME, description.to_json())
    num_bytes = sum(record.chunk.num_bytes for record in records if record.chunk)
    return Packed(description, len(parts), num_kept, num_bytes)


def claim(store: Store, plan: str, *, overwrite: bool) -> None:
    """Check that a store is empty, or holds this data set, completely or in part."""
    try:
        found = json.loads(read_file(store, MARKER)).get("plan")
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
        write_file(store, MARKER, json.dumps({"plan": plan}).encode())


def write_parts(parts: Sequence[Part], store: Store, settings: PackSettings) -> tuple[list[Record], int]:
    """Write missing parts in threads, with a progress bar; returns the records, and how many parts existed before."""
    records: list[Record] = []
    num_kept = 0
    with packing_progress() as progress, ThreadPoolExecutor(settings.workers or os.cpu_count(), "pack") as pool:
        task = progress.add_task("packing", total=sum(len(part.files) for part in parts))
        futures = [pool.submit(settle, part, store, settings) for part in parts]
        try:
            for part, future in zip(parts, futures, strict=True):
                record, was_there = future.result()
                records.append(record)
                num_kept += was_there
                progress.advance(task, len(part.files))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return records, num_kept


@contextmanager
def packing_progress() -> Iterator[Progress]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, **bar_options()) as progress:
        yield progress


def settle(part: Part, store: Store, settings: PackSettings) -> tuple[Record, bool]:
    """Write a part unless its chunk exists and is intact; returns its record, and whether it existed."""
    key = part.key(settings.encoding)
    known = known_record(part, store)
    if known is not None and known.key == key and is_there(known, store):
        return known, True
    record = write_part(part, key, store, settings)
    if not record.unreadable or settings.unreadable == "skip":
        write_file(store, part.record_name, json.dumps(asdict(record)).encode())
    return record, False


def known_record(part: Part, store: Store) -> Record | None:
    try:
        return Record.from_json(read_file(store, part.record_name))
    except (MissingError, ValueError, TypeError, KeyError):
        return None


def is_there(record: Record, store: Store) -> bool:
    """Whether the chunk is in the store; in a folder, its digest is compared as well."""
    if record.chunk is None:
        return True
    if isinstance(store, FolderStore):
        path = store.root / record.chunk.name
        return path.is_file() and is_intact(path, record.chunk)
    return store.has(record.chunk.name)


def write_part(part: Part, key: str, store: Store, settings: PackSettings) -> Record:
    """Read, encode and write the images of one chunk, in litdata's format."""
    from litdata.streaming.writer import BinaryWriter

    names: list[str] = []
    labels: list[int] = []
    digests: list[str] = []
    unreadable: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        writer = BinaryWriter(folder, chunk_bytes=MAX_CHUNK_BYTES)
        for (file, label), name in zip(part.files, part.names, strict=True):
            try:
                content = file.read_bytes()
                stored = settings.encoding.encode(content)
            except OSError as error:
                unreadable[name] = str(error)
                continue
            writer.add_item(len(names), (stored, label))
            names.append(name)
            labels.append(label)
            digests.append(digest_of(content))
        if not names:
            return Record(key, None, [], [], unreadable, {}, [])
        path = Path(writer.write_chunk(on_done=True))
        chunk = Chunk(part.chunk_name, len(names), path.stat().st_size, digest_of_file(path))
        if not unreadable or settings.unreadable == "skip":
            store.put(path, chunk.name)
    return Record(key, chunk, names, labels, unreadable, writer.get_config(), digests)


def report(unreadable: dict[str, str], num_images: int, settings: PackSettings) -> None:
    if not unreadable:
        return
    shown = "; ".join(f"{name}: {why}" for name, why in list(unreadable.items())[:NUM_REASONS_SHOWN])
    more = f"; and {len(unreadable) - NUM_REASONS_SHOWN} more" if len(unreadable) > NUM_REASONS_SHOWN else ""
    message = f"{len(unreadable)} of {num_images} images cannot be read: {shown}{more}."
    if settings.unreadable == "error":
        raise UserError(
            f"{message} Repair or remove them, or leave them out with --unreadable skip. Finished chunks are kept."
        )
    log.warning("%s They are left out.", message)


def describe(
    parts: Sequence[Part],
    records: Sequence[Record],
    folder: ImageFolderDataModule,
    settings: PackSettings,
    store: Store,
    plan: str,
    unreadable: dict[str, str],
) -> Description:
    """Write the tables of the splits, and return the content of ``dataset.json``."""
    of_split = {split: [r for p, r in zip(parts, records, strict=True) if p.split == split] for split in SPLITS}
    if empty := [split for split in SPLITS if not any(record.names for record in of_split[split])]:
        raise UserError(f"no image of {some(empty)} can be read, so there is nothing to pack.")
    facts, encoding = folder.facts, settings.encoding
    tables: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    splits: dict[Split, PackedSplit] = {}
    for split, found in of_split.items():
        names = [name for record in found for name in record.names]
        labels = torch.tensor([label for record in found for label in record.labels])
        digests = short_digests(digest for record in found for digest in record.digests)
        splits[split] = write_tables(split, found, names, labels, digests, len(facts.class_names), store)
        tables[split] = digests, labels
    return Description(
        class_names=facts.class_names,
        num_channels=encoding.num_channels,
        mean=facts.mean,
        std=facts.std,
        fit=encoding.fit,
        image_size=encoding.image_size,
        stored=encoding.stored,
        split_hash=content_hash(tables),
        splits=splits,
        plan=plan,
        unreadable=unreadable,
    )


def write_tables(
    split: Split,
    records: Sequence[Record],
    names: list[str],
    labels: torch.Tensor,
    digests: torch.Tensor,
    num_classes: int,
    store: Store,
) -> PackedSplit:
    chunks = [record.chunk for record in records if record.chunk]
    config = next(record.config for record in records if record.chunk)
    files = {
        "index.json": to_index(chunks, config, split),
        "names.txt": names_to_bytes(names),
        "labels.npy": array_to_bytes(labels.numpy().astype(np.int32)),
        DIGESTS: array_to_bytes(digests.numpy()),
    }
    for name, content in files.items():
        write_file(store, f"{split}/{name}", content)
    counts = np.bincount(labels.numpy(), minlength=num_classes).tolist()
    return PackedSplit(len(names), len(chunks), counts, {name: sha256(content) for name, content in files.items()})
