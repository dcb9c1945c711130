"""Seeded, stratified splits, and the hash that says which one a number belongs to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from ..errors import UserError
from .labelled_images import LabelledImages

Split = Literal["train", "val", "test"]


def carve(
    labels: Sequence[int], fraction: float, seed: int, *, name: str, class_names: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Split positions into those that stay and those carved off, both sorted, each class in proportion.

    Args:
        labels: one label an image.
        fraction: share of the images to carve off, above 0 and below 1.
        seed: the same seed gives the same split on every machine.
        name: what is carved, for error messages: ``val`` or ``test``.
        class_names: for error messages.

    Raises:
        UserError: a class is too small to be in both parts.
    """
    from sklearn.model_selection import train_test_split

    num_carved = round(fraction * len(labels))
    require_room(labels, num_carved, name, class_names)
    kept, carved = train_test_split(range(len(labels)), test_size=num_carved, random_state=seed, stratify=labels)
    return sorted(kept), sorted(carved)


def require_room(labels: Sequence[int], num_carved: int, name: str, class_names: Sequence[str]) -> None:
    """Refuse, before scikit-learn does in its own words, a split in which a class would have no image."""
    counts = Counter(labels)
    smallest = min(counts, key=lambda label: counts[label])
    if counts[smallest] < 2:
        raise UserError(
            f"cannot carve a {name} split: class {class_names[smallest]!r} has {counts[smallest]} image left for it, "
            f"at least 2 are needed. Add images to the class, or give a {name}/ folder of your own."
        )
    if not len(counts) <= num_carved <= len(labels) - len(counts):
        raise UserError(
            f"cannot carve a {name} split: {num_carved} of {len(labels)} images would be carved off, and each part "
            f"needs at least one of each of the {len(counts)} classes. Change data.{name}_fraction, or add images."
        )


def split_hash(splits: Mapping[Split, LabelledImages]) -> str:
    """SHA-256 over which image, with which label, is in which split. Equal hashes: numbers may be compared."""
    digest = hashlib.sha256()
    for split in sorted(splits):
        for name, label in sorted(zip(splits[split].names, splits[split].labels.tolist(), strict=True)):
            digest.update(f"{split}\t{name}\t{label}\n".encode())
    return digest.hexdigest()
