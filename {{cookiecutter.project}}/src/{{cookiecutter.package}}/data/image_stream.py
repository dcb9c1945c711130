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
from PIL import Image

from .decoding import Decoding, error_text

NUM_AHEAD = 2  # batches being decoded while a model computes another: what bounds memory

Decoded = NDArray[np.uint8] | str
Source = str | Image.Image  # the path of a file, or an image in memory


def decode_batches(
    sources: Iterable[Source], decoding: Decoding, batch_size: int
) -> Iterator[tuple[list[Source], list[Decoded]]]:
    """Decode on all cores, in order.

    Args:
        sources: read no further than three batches ahead.
        decoding: what they are decoded to.
        batch_size: images at once; the last batch may have fewer.

    Yields:
        B sources, and for each its image, uint8 (H, W, C), or the reason why it cannot be read.
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
