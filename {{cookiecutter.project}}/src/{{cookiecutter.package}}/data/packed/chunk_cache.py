"""Chunks of a store on this machine's disk: those needed now, never more than a budget."""

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

NUM_DOWNLOADS = 4  # at once and process: a single connection does not fill a fast network
TEMPORARY, RESERVED = ".part", ".room"
LONGEST_DOWNLOAD = 3600.0  # seconds, of one chunk


class ChunkCache:
    """Gives the local file of a chunk, of verified content; all processes of a machine share what is downloaded.

    Chunks that were used longest ago make room. An open file stays readable after that, so that nothing breaks where
    the budget is tight; the chunk is downloaded again.

    Args:
        store: of the chunks. Those of a folder are read where they are.
        folder: of what is downloaded.
        budget: of the folder, in bytes.
        patience: seconds for which a store that is away is waited for.
    """

    def __init__(self, store: Store, folder: Path, budget: int, patience: float) -> None:
        self.store = store
        self.folder = folder
        self.budget = budget
        self.patience = patience
        self._forget()

    def _forget(self) -> None:
        """What belongs to a process: threads, and which files it has found intact."""
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
        """The chunk's file, unbuffered, to be closed by the caller.

        Raises:
            UserError: the store does not have it, does not answer, or what it has is damaged.
        """
        if self._process != os.getpid():
            self._forget()  # a worker, forked
        if isinstance(self.store, FolderStore):
            return self._open_in_place(self.store.root / chunk.name, chunk)
        self._wait_for(chunk)
        while True:
            path = self._intact.get(chunk.name) or self._download(chunk, self.patience)
            try:
                stream = FileIO(path)
            except FileNotFoundError:  # another process has made room for its own
                self._intact.pop(chunk.name, None)
                continue
            touch(path)
            return stream

    def prefetch(self, chunks: Iterable[Chunk]) -> None:
        """Begin to download chunks that will be needed, in threads; what fails is tried again when it is needed."""
        if isinstance(self.store, FolderStore):
            return
        if self._process != os.getpid():
            self._forget()
        chunks = list(chunks)
        for chunk in chunks:
            path = self._intact.get(chunk.name)
            if path and not touch(path):  # before room is made for others, so that it is not made of these
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
            raise StoreError(f"{str(path)!r} is gone. Run pack again: it writes what is missing.") from error

    def _download(self, chunk: Chunk, patience: float) -> Path:
        """The local file, downloaded where it is not there or damaged."""
        path = self.folder / chunk.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock")):
            if path.exists() and not is_intact(path, chunk):
                log.warning("%s is damaged, and downloaded again", path)
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
        """Remove the chunks used longest ago until another one fits the budget; returns what keeps its place."""
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
                empty.truncate(chunk.num_bytes)  # takes no room itself
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
    """Say that a file is in use; whether it is still there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def files_in(folder: Path, pattern: str) -> list[tuple[float, int, Path]]:
    """Time of last use, size and path, without what goes meanwhile and what a killed process has left reserved."""
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
    """SHA-256 of its content, a megabyte at a time."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_intact(path: Path, chunk: Chunk) -> bool:
    return path.stat().st_size == chunk.num_bytes and digest_of_file(path) == chunk.sha256


def require_intact(path: Path, chunk: Chunk, store: Store | None = None) -> None:
    if not is_intact(path, chunk):
        where = f"{store.url}/{chunk.name}" if store else str(path)
        path_size = path.stat().st_size
        raise StoreError(
            f"the chunk {where!r} is damaged: {path_size:,} bytes of another content than the {chunk.num_bytes:,} that "
            f"were packed. {'Remove it, and run' if store else 'Run'} pack again: it writes anew what is missing."
        )
