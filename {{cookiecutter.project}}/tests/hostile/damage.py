"""Damages the files of a run: as a power cut, a bad disk, an editor or a stranger would.

Every function takes a random generator, so that a test can repeat what it has found.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml

HUGE = (10**5, 10**9, 10**30, 1e308, -1, -(10**12), 0.5, float("nan"), float("inf"))
OTHER_TYPES: tuple[Any, ...] = (None, True, "", "no", "x" * 2000, "\0", "😀", [], {}, [[]], [1, 2, 3], {"a": {"b": []}})
OTHER_TYPES += ({"class_path": "this.Zen"},)


def damage(file: Path, rng: Random) -> str:
    """Damage a file, and return a description of what was done to it."""
    by_kind = {".json": change_json, ".yaml": change_yaml, ".csv": change_csv, ".npz": change_arrays}
    change = by_kind.get(file.suffix, change_checkpoint if file.suffix == ".ckpt" else change_bytes)
    return (change_bytes if rng.random() < 0.35 else change)(file, rng)


def change_bytes(file: Path, rng: Random) -> str:
    content = bytearray(file.read_bytes())
    kind = rng.choice(["empty", "zeros", "truncated", "flipped", "cut", "garbage", "twice", "other"])
    start, length = rng.randrange(len(content)), rng.randint(1, 64)
    if kind == "empty":
        content = bytearray()
    elif kind == "zeros":  # what some file systems leave after a power cut
        content[start:] = bytes(len(content) - start)
    elif kind == "truncated":
        del content[start:]
    elif kind == "flipped":
        for _ in range(rng.choice([1, 1, 3, 20])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del content[start : start + length]
    elif kind == "garbage":
        content[start : start + length] = rng.randbytes(length)
    elif kind == "twice":
        content += bytes(content)
    else:
        content = bytearray(rng.choice([b"\xff\xfe", b"null", b"[]", b"{}", b"[" * 20_000, b"\x89PNG\r\n\x1a\n"]))
    file.write_bytes(content)
    return f"{kind} at {start} of {file.name}"


def places(value: Any, parent: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to each value within a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*parent, key)
        yield from places(inner, (*parent, key))


def change_value(content: Any, rng: Random) -> str:
    """Change one value at any depth of nested dictionaries and lists; each depth is equally likely."""
    found = list(places(content))
    depth = rng.choice(sorted({len(place) for place in found}))
    *way, last = rng.choice([place for place in found if len(place) == depth])
    inner = content
    for key in way:
        inner = inner[key]
    kind = rng.choice(["dropped", "number", "type", "wrapped", "renamed", "number", "type"])
    before = inner[last]
    if kind == "dropped" or (kind == "renamed" and not isinstance(inner, dict)):
        kind = "dropped"
        del inner[last]
    elif kind == "renamed":
        inner[f"{last}_of_a_newer_version"] = inner.pop(last)
    elif kind == "wrapped":
        inner[last] = [before]
    else:
        inner[last] = change_tensor(before, rng) if isinstance(before, torch.Tensor) else None
        if inner[last] is None:
            inner[last] = rng.choice(HUGE if kind == "number" else OTHER_TYPES)
    now = "" if kind in {"dropped", "renamed"} else f", now {str(inner[last])[:50]}"
    return f"{kind}: {'.'.join(map(str, [*way, last]))}{now}"


def change_tensor(tensor: torch.Tensor, rng: Random) -> Any:
    """The tensor with another shape or type, or something else; None for a value that is no tensor."""
    kind = rng.choice(["longer", "flat", "empty", "double", "int", "nan", "none"])
    changed = {
        "longer": lambda: torch.cat([tensor.reshape(-1), tensor.reshape(-1)]),
        "flat": lambda: tensor.reshape(-1),
        "empty": lambda: tensor.reshape(-1)[:0],
        "double": lambda: tensor.double() if tensor.is_floating_point() else tensor.float(),
        "int": lambda: tensor.reshape(-1)[:1].to(torch.int8),
        "nan": lambda: torch.full_like(tensor, torch.nan) if tensor.is_floating_point() else -tensor - 1,
    }
    return changed[kind]() if kind in changed else None


def change_json(file: Path, rng: Random) -> str:
    content = json.loads(file.read_text(encoding="utf-8"))
    what = change_value(content, rng)
    file.write_text(json.dumps(content), encoding="utf-8")
    return f"{file.name}, {what}"


def change_yaml(file: Path, rng: Random) -> str:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    what = change_value(content, rng)
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return f"{file.name}, {what}"


def change_checkpoint(file: Path, rng: Random) -> str:
    content = torch.load(file, weights_only=True)
    what = change_value(content, rng)
    torch.save(content, file)
    return f"{file.name}, {what}"


CELLS = ("", "no", "nan", "inf", "-1", "1e400", "0x1", "10" * 50, '"', "a,b", "../../x", "é", "\n", "=1+1")


def change_csv(file: Path, rng: Random) -> str:
    rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8"))))
    row, column = rng.randrange(len(rows)), rng.randrange(len(rows[0]))
    kind = rng.choice(["cell", "cell", "cell", "row", "again", "column", "heading"])
    if kind == "cell":
        rows[row][column] = rng.choice(CELLS)
    elif kind == "row":
        del rows[row]
    elif kind == "again":
        rows.append(rows[row])
    elif kind == "column":
        rows = [[*cells[:column], *cells[column + 1 :]] for cells in rows]
    else:
        rows[0][column] = rng.choice([*CELLS, rows[0][0]])
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    file.write_text(stream.getvalue(), encoding="utf-8")
    now = rows[row][column : column + 1] if row < len(rows) else ""
    return f"{file.name}, {kind} at row {row}, column {column}: {now}"


def change_arrays(file: Path, rng: Random) -> str:
    with np.load(file) as arrays:
        content = dict(arrays)
    name, kind = rng.choice(sorted(content)), rng.choice(["dropped", "shorter", "flat", "type", "text", "value", "big"])
    array = content[name]
    if kind == "dropped":
        del content[name]
    elif kind == "big":  # a heading that promises more than there is
        with zipfile.ZipFile(file, "w") as parts:
            for other in content:
                header = {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
                text = (repr(header) + "\n").encode()
                parts.writestr(f"{other}.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        return f"{file.name}, big"
    else:
        changes = {
            "shorter": lambda: array[:-1] if array.ndim else array.reshape(1),
            "flat": lambda: array.reshape(-1, 1),
            "type": lambda: array.astype(np.complex64) if array.dtype.kind in "fi" else array.astype("S3"),
            "text": lambda: array.astype(str),
            "value": lambda: np.full_like(array, np.nan if array.dtype.kind == "f" else 10**6),
        }
        content[name] = changes[kind]()
    np.savez_compressed(file, **content)
    return f"{file.name}, {kind}: {name}"
