"""Groups of images whose perceptual hashes nearly agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_DISTANCE = 6  # of 64 bits
NUM_ROWS = 1024  # images compared with all others at a time; limits memory


def near_duplicates(hashes: Sequence[int], max_distance: int = MAX_DISTANCE) -> list[list[int]]:
    """Positions of near-identical images, in groups of two or more; each is close to at least one other of its group.

    Every pair is compared: 50,000 images take seconds.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    bits = np.array(hashes, dtype=np.uint64)
    near: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, len(bits), NUM_ROWS):
        distances = np.bitwise_count(bits[start : start + NUM_ROWS, None] ^ bits[None, start:])
        rows, columns = np.nonzero(distances <= max_distance)
        near.append((rows + start, columns + start))
    if not near:
        return []
    rows, columns = (np.concatenate(parts) for parts in zip(*near, strict=True))
    graph = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(len(bits), len(bits)))
    _, group_of = connected_components(graph, directed=False)
    order = np.argsort(group_of, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(group_of[order])) + 1)
    return [group.tolist() for group in groups if len(group) > 1]
