"""Files that appear only when they are complete, and checks of the paths that users name for output."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import UserError


@contextmanager
def replacing(file: Path, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
    """Open a temporary file beside ``file``, which it replaces at the end of the block; after an error nothing changes.

    ``options`` are arguments of ``open``. Texts are UTF-8 and keep their line ends, unless these say otherwise.
    """
    texts = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open(mode, **texts | options) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def require_output(file: Path, option: str = "--output", suffixes: Sequence[str] = ()) -> None:
    """Refuse a path to write, the value of ``option``, that cannot be written or has none of ``suffixes`` (if any)."""
    if file.is_dir():
        raise UserError(f"{option} is {str(file)!r}, which is a folder. Give a file.")
    if suffixes and file.suffix.lower() not in suffixes:
        raise UserError(f"{option} is {str(file)!r}; it must be a file that ends in {', '.join(suffixes)}.")
    if not file.parent.is_dir():
        raise UserError(f"{option} is {str(file)!r}, but there is no folder {str(file.parent)!r}. Create it.")
    if not os.access(file.parent, os.W_OK):
        raise UserError(f"{option} is {str(file)!r}, but the folder {str(file.parent)!r} is not writable.")
