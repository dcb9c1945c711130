"""Seeded, stratified splits.

``carve`` splits fixed data sets (digits, MNIST) in exact proportions. ``carve_by_content`` is for folders, which can
grow: it decides for each image separately, so that adding images moves none from train to test.

scikit-learn's ``train_test_split`` is not used because its import takes 1.7 s.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def carve(
    labels: Sequence[int], fraction: float, seed: int, *, name: str, class_names: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Split positions into kept and carved ones, both sorted, stratified by class.

    Args:
        labels: label of each image.
        fraction: share of the images to carve, above 0 and below 1.
        seed: the same seed gives the same split on every machine.
        name: name of the carved split, for error messages: ``val`` or ``test``.
        class_names: for error messages.

    Raises:
        UserError: a class is too small to be in both parts.
    """
    num_carved = round(fraction * len(labels))
    require_room(labels, num_carved, name, class_names)
    generator, of_image = np.random.default_rng(seed), np.asarray(labels)
    is_carved = np.zeros(len(labels), dtype=bool)
    classes, sizes = np.unique(of_image, return_counts=True)
    for label, share in zip(classes, apportion(sizes, num_carved), strict=True):
        is_carved[generator.permutation(np.flatnonzero(of_image == label))[:share]] = True
    return np.flatnonzero(~is_carved).tolist(), np.flatnonzero(is_carved).tolist()


def carve_by_content(
    digests: Sequence[str],
    labels: Sequence[int],
    fraction: float,
    seed: int,
    *,
    name: str,
    class_names: Sequence[str],
    num_kept: int = 1,
) -> tuple[list[int], list[int]]:
    """Split positions into kept and carved ones, both sorted, by image content.

    An image is carved if a pseudo-random number in [0, 1), computed from its content and the seed, is below
    ``fraction``. So the share holds approximately in each class (15 of 100 images, with a standard deviation of 4),
    copies of an image stay together, and adding images moves none. Exception: if a class would have no image in one
    part, the image whose number is closest to ``fraction`` is moved.

    Args:
        digests: digest of each image's content.
        labels: label of each image.
        fraction: share of the images to carve, above 0 and below 1.
        seed: the same seed gives the same split on every machine.
        name: name of the carved split, ``val`` or ``test``; the numbers depend on it.
        class_names: for error messages.
        num_kept: minimum number of different images kept per class; 2 if another split is carved from them.

    Raises:
        UserError: a class is too small to be in both parts.
    """
    require_two(labels, name, class_names)
    draws = {digest: draw(f"{seed} {name} {digest}") for digest in set(digests)}
    carved = {digest for digest, drawn in draws.items() if drawn < fraction}
    for label in sorted(set(labels)):
        own = sorted({digest for digest, of in zip(digests, labels, strict=True) if of == label}, key=draws.__getitem__)
        if len(own) <= num_kept:
            found = "copies of one" if len(own) == 1 else f"copies of {len(own)}"
            raise UserError(
                f"cannot carve a {name} split: all images of class {class_names[label]!r} are {found}. Add other "
                f"images to the class, or give a {name}/ folder of your own."
            )
        carved.add(own[0])
        carved.difference_update(own[-num_kept:])
    is_carved = np.array([digest in carved for digest in digests])
    return np.flatnonzero(~is_carved).tolist(), np.flatnonzero(is_carved).tolist()


def draw(text: str) -> float:
    """A pseudo-random number in [0, 1), computed from a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64


def carve_groups(
    labels: Sequence[int], groups: Sequence[int], fraction: float, seed: int, *, name: str, class_names: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Like ``carve``, but keeps all positions of a group together; the fraction is approximate.

    Args:
        labels: label of each image.
        groups: group of each image.
        fraction: share of the images to carve.
        seed: the same seed gives the same split.
        name: name of the carved split, for error messages.
        class_names: for error messages.

    Raises:
        UserError: a class has too few groups to be in both parts.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    num_folds = max(2, round(1 / fraction))
    for label, class_name in enumerate(class_names):
        num_groups = len({group for group, of_image in zip(groups, labels, strict=True) if of_image == label})
        if num_groups < 2:
            raise UserError(
                f"cannot carve a {name} split: all images of class {class_name!r} are of one group. Add images of "
                "another group to the class."
            )
    num_folds = min(num_folds, len(set(groups)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer images than folds: checked below
        folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed).split(labels, labels, groups)
        wanted = fraction * len(labels)
        candidates = [(kept.tolist(), carved.tolist()) for kept, carved in folds]
    complete = [parts for parts in candidates if all(has_every_class(part, labels) for part in parts)]
    if not complete:
        raise UserError(
            f"cannot carve a {name} split of {fraction:.0%} in which each class has an image and no group is cut. "
            f"Give a larger {name} fraction, another seed, or finer groups."
        )
    return min(complete, key=lambda parts: abs(len(parts[1]) - wanted))


def has_every_class(positions: Sequence[int], labels: Sequence[int]) -> bool:
    return {labels[position] for position in positions} == set(labels)


def apportion(sizes: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Number of images to carve from each class, in proportion to its size (largest remainder method).

    At least one image of each class is carved, and at least one is kept.
    """
    exact = sizes * (total / sizes.sum())
    shares = np.clip(np.floor(exact).astype(np.int64), 1, sizes - 1)
    while (missing := total - shares.sum()) != 0:
        step = np.sign(missing)
        can_change = (shares + step >= 1) & (shares + step < sizes)
        wanting = np.where(can_change, (exact - shares) * step, -np.inf)
        shares[np.argmax(wanting)] += step
    return shares


def require_room(labels: Sequence[int], num_carved: int, name: str, class_names: Sequence[str]) -> None:
    """Refuse a split in which a class would have no image."""
    require_two(labels, name, class_names)
    counts = Counter(labels)
    if not len(counts) <= num_carved <= len(labels) - len(counts):
        raise UserError(
            f"cannot carve a {name} split: {num_carved} of {len(labels)} images would be carved, and each part "
            f"needs at least one image of each of the {len(counts)} classes. Change data.{name}_fraction or add images."
        )


def require_two(labels: Sequence[int], name: str, class_names: Sequence[str]) -> None:
    """Refuse to split a class of one image."""
    counts = Counter(labels)
    smallest = min(counts, key=lambda label: counts[label])
    if counts[smallest] < 2:
        raise UserError(
            f"cannot carve a {name} split: class {class_names[smallest]!r} has {counts[smallest]} image left, but "
            f"needs at least 2. Add images to the class, or give a {name}/ folder of your own."
        )
