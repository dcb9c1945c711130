"""Image files, decoded in threads ahead of the model that takes them batch by batch."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .decoding import Decoding, error_text

NUM_AHEAD = 2  # batches being decoded while a model computes another: what bounds memory

Decoded = NDArray[np.uint8] | str


def decode_batches(
    paths: Iterable[str], decoding: Decoding, batch_size: int
) -> Iterator[tuple[list[str], list[Decoded]]]:
    """Decode on all cores, in order.

    Args:
        paths: of image files; read no further than three batches ahead.
        decoding: what they are decoded to.
        batch_size: files at once; the last batch may have fewer.

    Yields:
        B paths, and for each its image, uint8 (H, W, C), or the reason why it cannot be read.
    """
    remaining = iter(paths)
    waiting: deque[tuple[list[str], list[Future[Decoded]]]] = deque()
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        while batch := list(islice(remaining, batch_size)):
            waiting.append((batch, [pool.submit(decode, path, decoding) for path in batch]))
            if len(waiting) > NUM_AHEAD:
                yield collect(*waiting.popleft())
        while waiting:
            yield collect(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def collect(batch: list[str], decoded: list[Future[Decoded]]) -> tuple[list[str], list[Decoded]]:
    return batch, [future.result() for future in decoded]


def decode(path: str, decoding: Decoding) -> Decoded:
    try:
        return decoding.decode(BytesIO(Path(path).read_bytes()))
    except OSError as error:
        return error.strerror or error_text(error)
    except ValueError as error:  # a path with a null character
        return str(error)
