"""The checks of an image folder: each yields findings about the inspected files."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import Any, Literal, TypeVar

import numpy as np
from PIL import Image

from ...engine.splits import SPLITS
from ..pages.rendering import count
from .inspection import InspectedFile

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

PLACEHOLDER_NAME = re.compile(r"not.?found|no.?image|placeholder|unavailable|missing|dummy", re.IGNORECASE)
FEW_COLOURS, FEW_SHADES = 32, 64  # of a placeholder in colours and in grey, with a plain ground
PLAIN_SHARE = 0.6  # of the main colour, from which on it is the ground
MIN_CLASS_SIZE = 20
MIN_SIDE = 32
MAX_DISTANCE = 6  # of the 64 bits of two perceptual hashes
NUM_ROWS = 1024  # images compared with all others at a time; limits memory

Files = Sequence[InspectedFile]
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    severity: Severity
    kind: str  # a short name
    message: str  # one sentence, with what to do
    files: Files = ()


def audit(files: Files, stale: Files = ()) -> list[Finding]:
    """Run all checks, the most severe findings first; the content of stale files differs from their cached digest."""
    good = [file for file in files if not file.problem]
    found = [
        *unreadable(files),
        *exact_duplicates(good),
        *similar_images(good),
        *single_images(good),
        *class_sizes(files, good),
        *missing_classes(good),
        *sizes(good),
    ]
    if stale:
        message = (
            f"{count(len(stale), 'file')} changed since the last training, with the same size and modification time. "
            "The next training decodes them again; earlier results used the old content."
        )
        found.append(Finding("warning", "stale cache", message, stale))
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def grouped(items: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """The items by their keys, both in the given order."""
    groups = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def unreadable(files: Files) -> Iterable[Finding]:
    """Files that cannot be used as images, one finding for each reason."""
    for problem, bad in sorted(grouped(files, lambda file: file.problem).items()):
        if problem:
            is_skipped = problem.startswith("is not an image") or "not used" in problem
            message = f"{count(len(bad), 'file')}: {problem}. Repair or remove."
            yield Finding("warning" if is_skipped else "error", "unreadable", message, bad)


def exact_duplicates(good: Files) -> Iterable[Finding]:
    by_digest = grouped(good, lambda file: file.digest)
    if len(good) > 1 and len(by_digest) == 1:
        message = f"all {len(good):,} images are the same file, so a model cannot learn from them."
        yield Finding("error", "identical images", message, good)
    for copies in by_digest.values():
        if len(copies) > 1:
            yield describe_copies(copies, "duplicate", "identical")


def similar_images(good: Files) -> Iterable[Finding]:
    """Near-identical images of different files, except of images whose hashes agree by chance.

    These are plain images, and grey drawings on a plain ground, such as digits.
    """
    rich = [file for file in good if not has_few_colours(file)]
    drawn = list({file.digest: file for file in rich if not (file.is_grey and has_ground(file))}.values())
    for group in near_duplicates([file.perceptual_hash for file in drawn]):
        finding = describe_copies([drawn[position] for position in group], "near duplicate", "near-identical")
        yield replace(finding, severity="warning")


def has_few_colours(file: InspectedFile) -> bool:
    return file.num_colours <= (FEW_SHADES if file.is_grey else FEW_COLOURS)


def has_ground(file: InspectedFile) -> bool:
    return file.main_colour_share >= PLAIN_SHARE


def near_duplicates(hashes: Sequence[int], max_distance: int = MAX_DISTANCE) -> list[list[int]]:
    """Positions of near-identical images, in groups of two or more; each is close to at least one other of its group.

    Every pair is compared: 50,000 images take seconds.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    bits = np.array(hashes, dtype=np.uint64)
    near = [np.empty((2, 0), dtype=np.int64)]
    for start in range(0, len(bits), NUM_ROWS):
        distances = np.bitwise_count(bits[start : start + NUM_ROWS, None] ^ bits[None, start:])
        near.append(np.stack(np.nonzero(distances <= max_distance)) + start)
    pairs = np.concatenate(near, axis=1)
    graph = coo_array((np.ones(pairs.shape[1], dtype=bool), tuple(pairs)), shape=(len(bits), len(bits)))
    group_of = connected_components(graph, directed=False)[1].tolist()
    groups = grouped(range(len(bits)), lambda position: group_of[position])
    return [group for group in groups.values() if len(group) > 1]


def describe_copies(copies: Files, kind: str, what: str) -> Finding:
    """Report the most severe case: two labels for one image, then two splits (raises test scores), then copies."""
    classes, splits = sorted({f.class_name for f in copies}), [s for s in SPLITS if s in {f.split for f in copies}]
    number = count(len(copies), f"{what} image")
    if len(classes) > 1:
        message = f"{number} in the classes {' and '.join(classes)}. Keep the one with the correct label."
        return Finding("error", f"{kind}, two labels", message, copies)
    if len(splits) > 1:
        message = f"{number} in {' and '.join(splits)}: scores on these images are too high. Keep one of them."
        return Finding("error", f"{kind} across splits", message, copies)
    return Finding("warning", kind, f"{number}.", copies)


def single_images(good: Files) -> Iterable[Finding]:
    """Images with a property that makes them suspicious, or that decoding corrects."""
    plain = {f.path for f in good if has_few_colours(f) and has_ground(f)}
    bad = [f for f in good if f.path in plain or PLACEHOLDER_NAME.search(f.path.stem)]
    formats = Image.registered_extensions()
    pairs = [(f, {f.format, formats[f.path.suffix.lower()]}) for f in good]
    wrong = [f for f, pair in pairs if len(pair) > 1 and pair != {"JPEG", "MPO"}]  # phones save MPO as .jpg
    told = ", ".join(sorted({f"{f.path.suffix} is {f.format}" for f in wrong}))
    small = [f for f in good if min(f.width, f.height) < MIN_SIDE]
    rotated = [f for f in good if f.rotated]
    odd = [f for f in good if f.mode not in {"RGB", "L"}]
    modes = ", ".join(f"{mode} ({num})" for mode, num in Counter(f.mode for f in odd).most_common())
    checks: list[tuple[Severity, str, Files, str, str]] = [
        ("warning", "placeholder", bad, "possible placeholder", ": few colours, or a name such as 'not found'."),
        ("warning", "wrong extension", wrong, "file", f" with a wrong extension: {told}."),
        ("warning", "small image", small, "image", f" with a side below {MIN_SIDE} pixels: enlarging adds no detail."),
        ("note", "EXIF rotation", rotated, "image", " rotated upright according to EXIF."),
        ("note", "colour mode", odd, "image", f" converted to RGB or greyscale, from {modes}."),
    ]
    for severity, kind, found, noun, message in checks:
        if found:
            yield Finding(severity, kind, count(len(found), noun) + message, found)


def class_sizes(files: Files, good: Files) -> Iterable[Finding]:
    counts = Counter(file.class_name for file in good if file.split == "train")
    total, present = sum(counts.values()), {file.split for file in files}
    carved = [split for split in SPLITS if split == "train" or split not in present]
    for name in sorted({file.class_name for file in files}):
        if counts[name] < len(carved):
            message = f"class {name!r} has {counts[name]} of {total:,} images; {len(carved)} are needed"
            message += f", one for each of {', '.join(carved)}." if len(carved) > 1 else " for training."
            yield Finding("error", "tiny class", f"{message} Add images, or remove the class.")
        elif counts[name] < MIN_CLASS_SIZE:
            message = f"{name!r} has {count(counts[name], 'training image')}; aim for at least {MIN_CLASS_SIZE}."
            yield Finding("warning", "tiny class", message)
    if not counts:
        return
    (largest, most), (smallest, least) = counts.most_common()[0], counts.most_common()[-1]
    if most >= 10 * least:
        message = f"{largest!r} has {most:,} training images, {smallest!r} has {least:,}: accuracy alone is misleading."
        yield Finding("warning", "imbalance", message)


def missing_classes(good: Files) -> Iterable[Finding]:
    found = {(file.split, file.class_name) for file in good}
    for split in SPLITS:
        missing = sorted({name for _, name in found if (split, name) not in found})
        if missing and any(of == split for of, _ in found):
            yield Finding("warning", "missing class", f"{split} has no images of {', '.join(missing)}.")


def sizes(good: Files) -> Iterable[Finding]:
    """Image sizes and aspect ratios, and the recommended fit."""
    if not good:
        return
    sides = [side for file in good for side in (file.width, file.height)]
    cropped = mean(1 - min(file.width, file.height) / max(file.width, file.height) for file in good)
    message = f"sides of {min(sides)} to {max(sides)} pixels (median {median(sides):.0f}). Cropping to a square removes"
    advice = f"recommended: --data.fit {'pad' if cropped > 0.3 else 'crop'}."
    yield Finding("note", "sizes", f"{message} {100 * cropped:.0f} % of an image on average; {advice}")
