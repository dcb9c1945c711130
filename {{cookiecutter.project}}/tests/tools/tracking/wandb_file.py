"""What an offline W&B run has written, read back. Its format is that of LevelDB's log."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

BLOCK, FILE_HEADER, HEADER = 32768, 7, struct.Struct("<IHB")  # checksum, length, whether whole, first, middle or last
WHOLE, LAST = 1, 4


def records(file: Path) -> Iterator[Any]:
    """The records of a ``.wandb`` file, as far as it is written."""
    data, position, record = file.read_bytes(), FILE_HEADER, b""
    while position + HEADER.size <= len(data):
        if (left := BLOCK - position % BLOCK) < HEADER.size:
            position += left
            continue
        _, length, kind = HEADER.unpack_from(data, position)
        start, position = position + HEADER.size, position + HEADER.size + length
        record += data[start:position]
        if kind in {WHOLE, LAST}:
            yield Record.FromString(record)
            record = b""


def of_kind(file: Path, kind: str) -> list[Any]:
    return [getattr(record, kind) for record in records(file) if record.WhichOneof("record_type") == kind]


def values(items: Any) -> dict[str, Any]:
    """Names and values of a history, summary or config record; nested names are joined by dots."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def history(file: Path) -> list[dict[str, Any]]:
    return [values(record.item) for record in of_kind(file, "history")]


def summary(file: Path) -> dict[str, Any]:
    """As it is in the end."""
    final: dict[str, Any] = {}
    for record in of_kind(file, "summary"):
        final |= values(record.update)
    return final


def is_closed(file: Path) -> bool:
    return bool(of_kind(file, "exit"))
