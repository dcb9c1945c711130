"""Downloaded chunks of a store on this machine's disk, within a size limit."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from filelock import FileLock

from ...errors import UserError
from .description import Chunk, sha256
from .stores import FolderStore, Store, StoreError, read_file

log = logging.getLogger(__name__)

NUM_DOWNLOADS = 4  # at once in a process: one connection does not use the whole rate of a fast network
TEMPORARY, RESERVED = ".part", ".room"
LONGEST_DOWNLOAD = 3600.0  # seconds for one chunk


class ChunkCache:
    """Provides local files of chunks, with verified content; all processes of a machine share them.

    The least recently used chunks are removed to make room. An open file stays readable after its removal; if the chunk
    is needed again, it is downloaded again.

    Args:
        store: that has the chunks. Chunks of a folder are read in place.
        folder: for downloaded chunks.
        budget: maximum size of the folder, in bytes.
        patience: seconds for which requests to a store that does not answer are repeated.
    """

    def __init__(self, store: Store, folder: Path, budget: int, patience: float) -> None:
        self.store = store
        self.folder = folder
        self.budget = budget
        self.patience = patience
        self._forget()

    def _forget(self) -> None:
        """Reset the state of a process: its threads, and which files it has verified."""
        self._process = os.getpid()
        self._pool: ThreadPoolExecutor | None = None
        self._pending: dict[str, Future[Path]] = {}
        self._intact: dict[str, Path] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def open(self, chunk: Chunk) -> FileIO:
        """Open the chunk's file, unbuffered; the caller closes it.

        Raises:
            UserError: the store does not have the chunk or does not answer, or the chunk is damaged.
        """
        if self._process != os.getpid():
            self._forget()  # in a forked worker
        if isinstance(self.store, FolderStore):
            return self._open_in_place(self.store.root / chunk.name, chunk)
        self._wait_for(chunk)
        while True:
            path = self._intact.get(chunk.name) or self._download(chunk, self.patience)
            try:
                stream = FileIO(path)
            except FileNotFoundError:  # another process has removed it to make room
                self._intact.pop(chunk.name, None)
                continue
            touch(path)
            return stream

    def prefetch(self, chunks: Iterable[Chunk]) -> None:
        """Start downloading chunks in threads; a failed download is repeated when the chunk is opened."""
        if isinstance(self.store, FolderStore):
            return
        if self._process != os.getpid():
            self._forget()
        chunks = list(chunks)
        for chunk in chunks:
            path = self._intact.get(chunk.name)
            if path and not touch(path):  # first, so that these chunks are not removed to make room
                self._intact.pop(chunk.name, None)
        for chunk in chunks:
            if chunk.name not in self._intact and chunk.name not in self._pending:
                self._pool = self._pool or ThreadPoolExecutor(NUM_DOWNLOADS, "chunks")
                self._pending[chunk.name] = self._pool.submit(self._download, chunk, 0.0)

    def _wait_for(self, chunk: Chunk) -> None:
        future = self._pending.pop(chunk.name, None)
        if future is not None:
            future.exception()
        for name in [name for name, future in self._pending.items() if future.done()]:
            del self._pending[name]

    def _open_in_place(self, path: Path, chunk: Chunk) -> FileIO:
        try:
            if chunk.name not in self._intact:
                require_intact(path, chunk)
                self._intact[chunk.name] = path
            return FileIO(path)
        except FileNotFoundError as error:
            raise StoreError(f"{str(path)!r} is missing. Run pack again: it writes what is missing.") from error

    def _download(self, chunk: Chunk, patience: float) -> Path:
        """The local file; it is downloaded if it is missing or damaged."""
        path = self.folder / chunk.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock")):
            if path.exists() and not is_intact(path, chunk):
                log.warning("%s is damaged and is downloaded again", path)
                path.unlink(missing_ok=True)
            if not path.exists():
                reserved = self._make_room(chunk, path)
                temporary = path.with_name(path.name + TEMPORARY)
                try:
                    self.store.get(chunk.name, temporary, patience)
                    require_intact(temporary, chunk, self.store)
                    temporary.replace(path)
                finally:
                    reserved.unlink(missing_ok=True)
                    temporary.unlink(missing_ok=True)
        self._intact[chunk.name] = path
        return path

    def _make_room(self, chunk: Chunk, path: Path) -> Path:
        """Remove the least recently used chunks until this one fits; returns a file that reserves its size."""
        reserved = path.with_name(path.name + RESERVED)
        with FileLock(self.folder / "room.lock"):
            excess = chunk.num_bytes - self.budget
            excess += sum(size for _, size, _ in files_in(self.folder, f"*{RESERVED}"))
            chunks = sorted(files_in(self.folder, "*.bin"))
            excess += sum(size for _, size, _ in chunks)
            for _, size, file in chunks:
                if excess <= 0:
                    break
                self._intact.pop(file.relative_to(self.folder).as_posix(), None)
                with suppress(PermissionError):  # Windows, while another process reads it
                    file.unlink(missing_ok=True)
                    excess -= size
            with reserved.open("wb") as empty:
                empty.truncate(chunk.num_bytes)  # a sparse file, which takes no space
        return reserved


def read_table(store: Store, folder: Path, name: str, expected: str, patience: float) -> bytes:
    """Read a table of a packed data set; one of an object store is kept in ``folder``.

    Args:
        store: of the data set.
        folder: of downloaded files.
        name: of the file in the store.
        expected: SHA-256 of the content.
        patience: seconds for which a store that does not answer is asked again.

    Raises:
        UserError: the content has another SHA-256.
    """
    path = folder / Path(name).with_name(f"{expected[:16]}-{Path(name).name}")
    is_local = isinstance(store, FolderStore)
    if not is_local and path.is_file() and sha256(content := path.read_bytes()) == expected:
        return content
    content = read_file(store, name, patience)
    if sha256(content) != expected:
        raise UserError(
            f"'{store.url}/{name}' is damaged, or of another packing. Run pack again: it writes what is damaged or "
            "missing."
        )
    if not is_local:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return content


def touch(path: Path) -> bool:
    """Mark a file as used now; returns whether it still exists."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def files_in(folder: Path, pattern: str) -> list[tuple[float, int, Path]]:
    """Time of last use, size and path of files; removes reservations that a killed process has left."""
    found = []
    for file in folder.rglob(pattern):
        with suppress(FileNotFoundError):
            stat = file.stat()
            if file.suffix == RESERVED and time.time() - stat.st_mtime > LONGEST_DOWNLOAD:
                file.unlink()
            else:
                found.append((stat.st_mtime, stat.st_size, file))
    return found


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_intact(path: Path, chunk: Chunk) -> bool:
    return path.stat().st_size == chunk.num_bytes and digest_of_file(path) == chunk.sha256


def require_intact(path: Path, chunk: Chunk, store: Store | None = None) -> None:
    if not is_intact(path, chunk):
        where = f"{store.url}/{chunk.name}" if store else str(path)
        path_size = path.stat().st_size
        raise StoreError(
            f"the chunk {where!r} is damaged: {path_size:,} bytes, whose content differs from the {chunk.num_bytes:,} "
            f"that were packed. {'Remove it, and run' if store else 'Run'} pack again: it writes what is missing."
        )
