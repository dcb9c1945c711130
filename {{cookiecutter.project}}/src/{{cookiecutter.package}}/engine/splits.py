"""Digests that identify images by content, and seeded, stratified splits."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError
from .images import Images

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
SPLIT_NAMES: dict[Split, str] = {"train": "training", "val": "validation", "test": "test"}  # in texts


def digest_of(content: bytes) -> str:
    """16-byte BLAKE2b digest, as 32 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def short_digests(digests: Iterable[str]) -> Tensor:
    """First eight bytes of each digest, int64 (N,); of a million images, any two are the same with probability 3e-8."""
    content = b"".join(bytes.fromhex(digest[:16]) for digest in digests)
    return torch.from_numpy(np.frombuffer(content, dtype="<i8").astype(np.int64))


def pixel_digests(images: Images) -> Tensor:
    """Digests of decoded images, for data sets without files: int64 (N,)."""
    chunks = torch.split(torch.arange(len(images)), 1024)  # images in memory at once
    return short_digests(
        digest_of(pixels.tobytes()) for index in chunks for pixels in images[index].contiguous().numpy()
    )


def content_hash(splits: Mapping[str, tuple[Tensor, Tensor]]) -> str:
    """SHA-256 of the digests and labels, both int64 (N,), of all splits; results with equal hashes are comparable."""
    found = hashlib.sha256()
    for split in sorted(splits):
        digests, labels = (column.numpy().astype("<i8") for column in splits[split])
        order = np.lexsort((labels, digests))
        found.update(f"{split} {len(digests)}\n".encode())
        found.update(np.stack([digests[order], labels[order]]).tobytes())
    return found.hexdigest()


def carve(
    labels: Sequence[int], fraction: float, seed: int, *, name: str, class_names: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Split positions, by class and seed, into kept and carved ones, both sorted; ``fraction`` is in (0, 1)."""
    require_two(labels, name, class_names)
    of_image, num_carved = np.asarray(labels), round(fraction * len(labels))
    classes, sizes = np.unique(of_image, return_counts=True)
    if not len(classes) <= num_carved <= len(labels) - len(classes):
        raise UserError(
            f"cannot carve a {name} split: {num_carved} of {len(labels)} images would be carved, and each part "
            f"needs at least one image of each of the {len(classes)} classes. Change data.{name}_fraction or add "
            "images."
        )
    generator, is_carved = np.random.default_rng(seed), np.zeros(len(labels), dtype=bool)
    for label, share in zip(classes, apportion(sizes, num_carved), strict=True):
        is_carved[generator.permutation(np.flatnonzero(of_image == label))[:share]] = True
    return np.flatnonzero(~is_carved).tolist(), np.flatnonzero(is_carved).tolist()


def carve_splits(
    labels: Tensor, fractions: Mapping[Split, float], seed: int, class_names: Sequence[str]
) -> dict[Split, Tensor]:
    """Positions of train and of the splits in ``fractions``, which are carved from it one after the other."""
    positions: dict[Split, Tensor] = {"train": torch.arange(len(labels))}
    for split, fraction in fractions.items():
        rest = positions["train"]
        kept, carved = carve(labels[rest].tolist(), fraction, seed, name=split, class_names=class_names)
        positions["train"], positions[split] = rest[kept], rest[carved]
    return positions


def apportion(sizes: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Images to carve from each class, in proportion to its size (largest remainder), from 1 to all but one."""
    exact = sizes * (total / sizes.sum())
    shares = np.clip(np.floor(exact).astype(np.int64), 1, sizes - 1)
    while (missing := total - shares.sum()) != 0:
        step = np.sign(missing)
        can_change = (shares + step >= 1) & (shares + step < sizes)
        wanting = np.where(can_change, (exact - shares) * step, -np.inf)
        shares[np.argmax(wanting)] += step
    return shares


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
    """Like ``carve``, but the content of an image alone decides whether it is carved, so that adding images moves none.

    An image is carved if a pseudo-random number in [0, 1), computed from its digest, the name of the split and the
    seed, is below ``fraction``. So the share holds approximately in each class (15 of 100 images, with a standard
    deviation of 4), and copies of an image stay together. Exception: if a class would have no image in one part, the
    image whose number is closest to ``fraction`` is moved. At least ``num_kept`` different images of each class are
    kept: 2 if another split is carved from them.
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
    """Like ``carve``, but keeps all positions of a group together; the fraction is approximate."""
    from sklearn.model_selection import StratifiedGroupKFold

    for label, class_name in enumerate(class_names):
        if len({group for group, of_image in zip(groups, labels, strict=True) if of_image == label}) < 2:
            raise UserError(
                f"cannot carve a {name} split: all images of class {class_name!r} are of one group. Add images of "
                "another group to the class."
            )
    largest = max(Counter(labels).values())  # more folds than that are refused by scikit-learn
    num_folds = min(max(2, round(1 / fraction)), len(set(groups)), largest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer images than folds: checked below
        folds = list(StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed).split(labels, labels, groups))
    complete = [fold for fold in folds if all(len({labels[i] for i in part}) == len(set(labels)) for part in fold)]
    if not complete:
        raise UserError(
            f"cannot carve a {name} split of {fraction:.0%} in which each class has an image and no group is cut. "
            f"Give a larger {name} fraction, another seed, or finer groups."
        )
    kept, carved = min(complete, key=lambda fold: abs(len(fold[1]) - fraction * len(labels)))
    return kept.tolist(), carved.tolist()


def require_two(labels: Sequence[int], name: str, class_names: Sequence[str]) -> None:
    """Refuse to split a class of one image."""
    label, count = min(Counter(labels).items(), key=lambda item: item[1])
    if count < 2:
        raise UserError(
            f"cannot carve a {name} split: class {class_names[label]!r} has {count} image left, but "
            f"needs at least 2. Add images to the class, or give a {name}/ folder of your own."
        )
