"""Images in chunks, and the cache of chunks on this machine's disk."""

import hashlib
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from io import BytesIO, FileIO
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from ...errors import UserError
from ...files import replacing
from ...predictor import Decoding, error_text
from ..images import LabelledImages
from ..splits import Split
from .format import DIGEST_TABLE, Description, Names, chunks_of, integers_of, read_description, sha256
from .stores import Chunk, FolderStore, ObjectStore, Store, StoreError, open_store

log = logging.getLogger(__name__)

OFFSETS, SIZE = Struct("<II"), Struct("<I")  # litdata: number of items, N + 1 offsets, then the items; all uint32
ITEM_HEADER_BYTES = 8  # sizes of the image and of its label, which follow
RESERVED = ".room"  # suffix of files that reserve the size of a download


@lru_cache
def threads(task: str, number: int | None, _process: int) -> ThreadPoolExecutor:
    """The threads of a process for a task; a forked worker starts its own."""
    return ThreadPoolExecutor(number, task)


class PackedDataset:
    """A packed data set, whose chunks and tables are cached below ``cache_dir`` if they are in an object store."""

    def __init__(
        self, root: str, cache_dir: str, cache_gb: float, retry_minutes: float, endpoint_url: str | None
    ) -> None:
        self.store = open_store(root, endpoint_url)
        folder = Path(cache_dir) / hashlib.sha256(f"{endpoint_url} {root}".encode()).hexdigest()[:16]
        self.cache = ChunkCache(self.store, folder, int(cache_gb * 1e9), 60 * retry_minutes)

    @cached_property
    def description(self) -> Description:
        """The content of ``dataset.json``; raises a UserError if it cannot be read."""
        return read_description(self.store)

    def split(self, split: Split, decoding: Decoding) -> LabelledImages:
        """Read the tables of a split; its images are read with each batch."""
        chunks, is_decoded = self.chunks(split), self.description.stored == "decoded"
        images = PackedImages(chunks, self.cache, decoding, is_decoded=is_decoded, read_ahead=split != "train")
        labels = torch.from_numpy(integers_of(self._table(split, "labels.npy")()))
        return LabelledImages(images, labels, Names(self._table(split, "names.txt")))

    def digests(self, split: Split) -> Tensor | None:
        """Of the files that were packed; None for a packing of an older version."""
        if DIGEST_TABLE not in self.description.splits[split].sha256:
            return None
        return torch.from_numpy(integers_of(self._table(split, DIGEST_TABLE)()))

    def chunks(self, split: Split) -> list[Chunk]:
        return chunks_of(self._table(split, "index.json")(), split)

    def _table(self, split: Split, name: str) -> partial[bytes]:
        """Returns a function that reads a file of a split. It holds no data module, so that it can be pickled."""
        return partial(self.cache.read_table, f"{split}/{name}", self.description.splits[split].sha256[name])


@dataclass(eq=False)
class PackedImages:
    """N images of a split, in the order of its chunks."""

    chunks: Sequence[Chunk]
    cache: "ChunkCache"
    decoding: Decoding
    is_decoded: bool  # otherwise the chunks contain image files
    read_ahead: bool  # batches are in order, so load the next chunk

    def __post_init__(self) -> None:
        self.ends = np.cumsum([chunk.num_images for chunk in self.chunks])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: Tensor, /) -> Tensor:
        positions = index.numpy()
        images = np.empty((len(positions), *self.decoding.shape), dtype=np.uint8)
        numbers = np.searchsorted(self.ends, positions, side="right")
        needed = np.unique(numbers).tolist()
        if self.read_ahead:
            self.prefetch([*needed, needed[-1] + 1] if needed else [])
        files: dict[int, bytes] = {}  # by row of the batch
        for number in needed:
            rows = np.flatnonzero(numbers == number)
            items = positions[rows] - (self.ends[number] - self.chunks[number].num_images)
            with self.cache.open(self.chunks[number]) as stream:
                for row, item in zip(rows.tolist(), items.tolist(), strict=True):
                    stream.seek(SIZE.size * (1 + item))
                    begin, end = OFFSETS.unpack(stream.read(OFFSETS.size))
                    if self.is_decoded:
                        stream.seek(begin + ITEM_HEADER_BYTES)
                        stream.readinto(images[row].reshape(-1))  # without another copy
                    else:
                        stream.seek(begin)
                        content = stream.read(end - begin)
                        (num_bytes,) = SIZE.unpack_from(content)
                        files[row] = content[ITEM_HEADER_BYTES : ITEM_HEADER_BYTES + num_bytes]
        self._decode(files, images)
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def _decode(self, files: dict[int, bytes], images: NDArray[np.uint8]) -> None:
        """Decode on all cores; in a loader's worker on one core, as the other workers use the others."""

        def decode(row: int) -> None:
            try:
                images[row] = self.decoding.decode(BytesIO(files[row]))
            except OSError as error:
                raise UserError(f"a packed image cannot be decoded: {error_text(error)}. Pack again.") from error

        if len(files) > 1 and get_worker_info() is None:
            list(threads("decoding", os.cpu_count(), os.getpid()).map(decode, files))
        else:
            for row in files:
                decode(row)

    def prefetch(self, numbers: Sequence[int]) -> None:
        """Start downloading chunks; numbers beyond the last one are ignored."""
        self.cache.prefetch([self.chunks[number] for number in numbers if number < len(self.chunks)])


class ChunkCache:
    """Provides local files of chunks, with verified content; all processes of a machine share them.

    Chunks of a folder are read in place. Of downloaded chunks, up to ``budget`` bytes are kept in ``folder``: the least
    recently used are removed to make room. An open file stays readable after its removal. Requests to a store that does
    not answer are repeated for ``patience`` seconds.
    """

    def __init__(self, store: Store, folder: Path, budget: int, patience: float) -> None:
        self.store = store
        self.is_local = isinstance(store, FolderStore)
        self.folder = store.root if isinstance(store, FolderStore) else folder
        self.budget = budget
        self.patience = patience
        self._intact: set[str] = set()  # chunks whose content this process has verified
        self._pending: dict[tuple[int, str], Future[None]] = {}  # downloads by process, as a fork copies this table

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pending": {}}

    def open(self, chunk: Chunk) -> FileIO:
        """Open the chunk's file, unbuffered; raises a UserError if it cannot be read or is damaged."""
        if future := self._pending.pop((os.getpid(), chunk.name), None):
            future.exception()  # waits; a failed download is repeated below
        while True:
            if chunk.name not in self._intact:
                self._provide(chunk, self.patience)
            try:
                stream = FileIO(self.folder / chunk.name)
            except FileNotFoundError:  # another process has removed it to make room
                self._intact.discard(chunk.name)
                continue
            self._touch(chunk)
            return stream

    def prefetch(self, chunks: Sequence[Chunk]) -> None:
        """Start downloading chunks in threads; a failed download is repeated when the chunk is opened."""
        if self.is_local:
            return
        self._pending = {key: future for key, future in self._pending.items() if not future.done()}
        for chunk in chunks:
            self._touch(chunk)  # all of them first, so that none is removed to make room for another
        for chunk in chunks:
            key = os.getpid(), chunk.name
            if chunk.name not in self._intact and key not in self._pending:
                downloads = threads("chunks", 4, os.getpid())  # one connection does not use a fast network fully
                self._pending[key] = downloads.submit(self._provide, chunk, 0.0)

    def read_table(self, name: str, expected: str) -> bytes:
        """Read a table with the SHA-256 ``expected``, and keep a downloaded one in ``folder``."""
        path = self.folder / Path(name).with_name(f"{expected[:16]}-{Path(name).name}")
        if not self.is_local and path.is_file() and sha256(content := path.read_bytes()) == expected:
            return content
        content = self.store.read(name, self.patience)
        if sha256(content) != expected:
            raise UserError(
                f"'{self.store.url}/{name}' is damaged, or of another packing. Run pack again: it writes what is "
                "damaged or missing."
            )
        if not self.is_local:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, "wb") as stream:
                stream.write(content)
        return content

    def require_room(self, chunks: Sequence[Chunk], num_processes: int, num_together: int) -> None:
        """Refuse a budget that is too small for the chunks that are shuffled together and the next ones."""
        sizes = sorted((chunk.num_bytes for chunk in chunks), reverse=True)
        needed = min(2 * num_processes * sum(sizes[:num_together]), sum(sizes))
        if not self.is_local and self.budget < needed:
            raise UserError(
                f"data.cache_gb is {self.budget / 1e9}; shuffling {num_together} chunks together, with the next ones "
                f"in the cache, needs {needed / 1e9:.3g} on each machine. Give a larger --data.cache_gb or a smaller "
                "--data.shuffle_chunks."
            )

    def _touch(self, chunk: Chunk) -> None:
        """Mark a downloaded chunk as used now."""
        if chunk.name in self._intact and not self.is_local:
            try:
                os.utime(self.folder / chunk.name)
            except FileNotFoundError:
                self._intact.discard(chunk.name)

    def _provide(self, chunk: Chunk, patience: float) -> None:
        """Verify the local file of a chunk; download it first if it is missing or damaged."""
        path = self.folder / chunk.name
        if isinstance(self.store, FolderStore):
            if not path.exists():
                raise StoreError(f"{str(path)!r} is missing. Run pack again: it writes what is missing.")
            self._require_intact(path, chunk)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f"{path.name}.lock")):
                if not chunk.is_intact(path):
                    self._download(self.store, chunk, path, patience)
        self._intact.add(chunk.name)

    def _download(self, store: ObjectStore, chunk: Chunk, path: Path, patience: float) -> None:
        if path.exists():
            log.warning("%s is damaged and is downloaded again", path)
            path.unlink(missing_ok=True)
        reserved, temporary = (path.with_name(path.name + suffix) for suffix in (RESERVED, ".part"))
        try:
            self._make_room(chunk.num_bytes, reserved)
            store.download(chunk.name, temporary, patience)
            self._require_intact(temporary, chunk)
            temporary.replace(path)
        finally:
            reserved.unlink(missing_ok=True)
            temporary.unlink(missing_ok=True)

    def _make_room(self, num_bytes: int, reserved: Path) -> None:
        """Remove the least recently used chunks until ``num_bytes`` fit, and reserve them by the size of a file."""
        with FileLock(self.folder / "room.lock"):
            found = []  # time of last use, size and path of each file
            for file in [*self.folder.rglob("*.bin"), *self.folder.rglob(f"*{RESERVED}")]:
                with suppress(FileNotFoundError):
                    stat = file.stat()
                    if file.suffix == RESERVED and time.time() - stat.st_mtime > 3600:  # seconds
                        file.unlink()  # of a process that was killed
                    else:
                        found.append((stat.st_mtime, stat.st_size, file))
            excess = num_bytes - self.budget + sum(size for _, size, _ in found)
            for _, size, file in sorted(entry for entry in found if entry[2].suffix != RESERVED):
                if excess <= 0:
                    break
                with suppress(PermissionError):  # Windows, while another process reads it
                    file.unlink(missing_ok=True)
                    self._intact.discard(file.relative_to(self.folder).as_posix())
                    excess -= size
            with reserved.open("wb") as empty:
                empty.truncate(num_bytes)  # a sparse file, which takes no space

    def _require_intact(self, path: Path, chunk: Chunk) -> None:
        if not chunk.is_intact(path):
            raise StoreError(
                f"the chunk '{self.store.url}/{chunk.name}' is damaged: {path.stat().st_size:,} bytes, whose content "
                f"differs from the {chunk.num_bytes:,} that were packed. "
                f"{'Run' if self.is_local else 'Remove it, and run'} pack again: it writes what is missing."
            )
