"""Decodes image files in threads while the model processes earlier batches."""

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
from PIL import Image

from .decoding import Decoding, error_text

NUM_AHEAD = 2  # batches decoded ahead of the model; limits memory

Decoded = NDArray[np.uint8] | str
Source = str | Image.Image  # the path of a file, or an image in memory


def decode_batches(
    sources: Iterable[Source], decoding: Decoding, batch_size: int
) -> Iterator[tuple[list[Source], list[Decoded]]]:
    """Decode on all cores, keeping the order.

    Args:
        sources: paths or images; at most three batches of them are read ahead.
        decoding: settings of decoding.
        batch_size: images per batch; the last batch may have fewer.

    Yields:
        B sources, and for each its image as uint8 (H, W, C) or the reason why it cannot be read.
    """
    remaining = iter(sources)
    waiting: deque[tuple[list[Source], list[Future[Decoded]]]] = deque()
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        while batch := list(islice(remaining, batch_size)):
            waiting.append((batch, [pool.submit(decode, source, decoding) for source in batch]))
            if len(waiting) > NUM_AHEAD:
                yield collect(*waiting.popleft())
        while waiting:
            yield collect(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def collect(batch: list[Source], decoded: list[Future[Decoded]]) -> tuple[list[Source], list[Decoded]]:
    return batch, [future.result() for future in decoded]


def decode(source: Source, decoding: Decoding) -> Decoded:
    try:
        if isinstance(source, Image.Image):
            return decoding.convert(source)
        return decoding.decode(BytesIO(Path(source).read_bytes()))
    except OSError as error:
        return error.strerror or error_text(error)
    except ValueError as error:  # a path with a null character
        return str(error)
