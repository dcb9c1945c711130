"""The checks of an audit: each function takes the inspected files and yields one kind of finding."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Literal

from PIL import Image

from ..splits import SPLITS
from .inspection import InspectedFile
from .near_duplicates import near_duplicates

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

PLACEHOLDER_NAME = re.compile(r"not.?found|no.?image|placeholder|unavailable|missing|dummy", re.IGNORECASE)
MAX_PLACEHOLDER_COLOURS = 32
MIN_MAIN_COLOUR_SHARE = 0.6
MIN_CLASS_SIZE = 20
MAX_IMBALANCE = 10
MIN_SIDE = 32
MAX_CROPPED_SHARE = 0.3
COMMON_MODES = {"RGB", "L"}


@dataclass(frozen=True)
class Finding:
    """One finding of an audit.

    Attributes:
        severity: ``error`` stops an audit with status 2, ``warning`` with 1, ``note`` with 0.
        kind: a short name, the same for all findings of a function.
        message: one sentence, with what to do.
        files: the files concerned.
    """

    severity: Severity
    kind: str
    message: str
    files: tuple[InspectedFile, ...] = ()


Check = Callable[[Sequence[InspectedFile]], Iterable[Finding]]


def audit(files: Sequence[InspectedFile], stale: Sequence[InspectedFile] = ()) -> list[Finding]:
    """Run all checks; the most severe findings come first.

    Args:
        files: all files of the folder.
        stale: files whose content differs from the cached digest although size and modification time are the same.
    """
    found = [finding for check in CHECKS for finding in check(files)]
    if stale:
        message = (
            f"{number_of(stale, 'file')} changed since the last training, with the same size and modification time. "
            "The next training decodes them again; earlier results used the old content."
        )
        found.append(Finding("warning", "stale cache", message, tuple(stale)))
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def images(files: Iterable[InspectedFile]) -> list[InspectedFile]:
    return [file for file in files if not file.problem]


def number_of(files: Sequence[InspectedFile], noun: str) -> str:
    return f"{len(files):,} {noun}" if len(files) == 1 else f"{len(files):,} {noun}s"


def unreadable(files: Sequence[InspectedFile]) -> Iterable[Finding]:
    """Files that cannot be used as images, one finding for each reason."""
    by_problem = defaultdict(list)
    for file in files:
        if file.problem:
            by_problem[file.problem].append(file)
    for problem, bad in sorted(by_problem.items()):
        used = not problem.startswith("is not an image") and "not used" not in problem
        message = f"{number_of(bad, 'file')}: {problem}. Repair or remove."
        yield Finding("error" if used else "warning", "unreadable", message, tuple(bad))


def wrong_extension(files: Sequence[InspectedFile]) -> Iterable[Finding]:
    known = Image.registered_extensions()
    bad = [f for f in images(files) if known[f.path.suffix.lower()] != f.format and not same_family(f, known)]
    if bad:
        formats = ", ".join(sorted({f"{f.path.suffix} is {f.format}" for f in bad}))
        yield Finding(
            "warning", "wrong extension", f"{number_of(bad, 'file')} with a wrong extension: {formats}.", tuple(bad)
        )


def same_family(file: InspectedFile, known: dict[str, str]) -> bool:
    """Whether extension and format agree; phones save multi-picture JPEG (MPO) as .jpg."""
    return {file.format, known[file.path.suffix.lower()]} <= {"JPEG", "MPO"}


def placeholders(files: Sequence[InspectedFile]) -> Iterable[Finding]:
    """Drawings with few colours on a plain background, or files named like a placeholder ("image not found")."""
    bad = [
        file
        for file in images(files)
        if PLACEHOLDER_NAME.search(file.path.stem)
        or (file.num_colours <= MAX_PLACEHOLDER_COLOURS and file.main_colour_share >= MIN_MAIN_COLOUR_SHARE)
    ]
    if bad:
        yield Finding(
            "warning",
            "placeholder",
            f"{number_of(bad, 'possible placeholder')}: few colours, or a name such as 'not found'.",
            tuple(bad),
        )


def identical_images(files: Sequence[InspectedFile]) -> Iterable[Finding]:
    same = images(files)
    if len(same) > 1 and len({file.digest for file in same}) == 1:
        message = f"all {len(same):,} images are the same file, so a model cannot learn from them."
        yield Finding("error", "identical images", message, tuple(same))


def exact_duplicates(files: Sequence[InspectedFile]) -> Iterable[Finding]:
    by_digest = defaultdict(list)
    for file in images(files):
        by_digest[file.digest].append(file)
    for copies in by_digest.values():
        if len(copies) > 1:
            yield describe_copies(copies, "duplicate", "identical")


def similar_images(files: Sequence[InspectedFile]) -> Iterable[Finding]:
    """Near-identical images of different files; plain images are left out, because their hashes always agree."""
    distinct = list({file.digest: file for file in images(files)}.values())
    drawn = [file for file in distinct if file.num_colours > MAX_PLACEHOLDER_COLOURS]
    for group in near_duplicates([file.perceptual_hash for file in drawn]):
        finding = describe_copies([drawn[position] for position in group], "near duplicate", "near-identical")
        yield Finding("warning", finding.kind, finding.message, finding.files)


def describe_copies(copies: Sequence[InspectedFile], kind: str, what: str) -> Finding:
    """Reports the most severe case: two labels for one image, then two splits (raises test scores), then copies."""
    classes, splits = sorted({f.class_name for f in copies}), [s for s in SPLITS if s in {f.split for f in copies}]
    number = number_of(copies, f"{what} image")
    if len(classes) > 1:
        message = f"{number} in the classes {' and '.join(classes)}. Keep the one with the correct label."
        return Finding("error", f"{kind}, two labels", message, tuple(copies))
    if len(splits) > 1:
        message = f"{number} in {' and '.join(splits)}: scores on these images are too high. Keep one of them."
        return Finding("error", f"{kind} across splits", message, tuple(copies))
    return Finding("warning", kind, f"{number}.", tuple(copies))


def class_sizes(files: Sequence[InspectedFile]) -> Iterable[Finding]:
    counts = Counter(file.class_name for file in images(files) if file.split == "train")
    total, present = sum(counts.values()), {file.split for file in files}
    carved = [split for split in SPLITS if split == "train" or split not in present]
    for class_name in sorted({file.class_name for file in files}):
        if counts[class_name] < len(carved):
            message = f"class {class_name!r} has {counts[class_name]} of {total:,} images; {len(carved)} are needed"
            message += f", one for each of {', '.join(carved)}." if len(carved) > 1 else " for training."
            yield Finding("error", "tiny class", f"{message} Add images, or remove the class.")
        elif counts[class_name] < MIN_CLASS_SIZE:
            noun = "image" if counts[class_name] == 1 else "images"
            message = f"{class_name!r} has {counts[class_name]} training {noun}; aim for at least {MIN_CLASS_SIZE}."
            yield Finding("warning", "tiny class", message)
    if not counts:
        return
    (largest, most), (smallest, least) = counts.most_common()[0], counts.most_common()[-1]
    if most >= MAX_IMBALANCE * least:
        message = f"{largest!r} has {most:,} training images, {smallest!r} has {least:,}: accuracy alone is misleading."
        yield Finding("warning", "imbalance", message)


def missing_classes(files: Sequence[InspectedFile]) -> Iterable[Finding]:
    found = {(file.split, file.class_name) for file in images(files)}
    for split in SPLITS:
        missing = sorted({name for _, name in found if (split, name) not in found})
        if missing and any(of == split for of, _ in found):
            yield Finding("warning", "missing class", f"{split} has no images of {', '.join(missing)}.")


def small_images(files: Sequence[InspectedFile]) -> Iterable[Finding]:
    small = [file for file in images(files) if min(file.width, file.height) < MIN_SIDE]
    if small:
        message = f"{number_of(small, 'image')} with a side below {MIN_SIDE} pixels: enlarging adds no detail."
        yield Finding("warning", "small image", message, tuple(small))


def handled(files: Sequence[InspectedFile]) -> Iterable[Finding]:
    """Properties that decoding corrects: EXIF rotation and colour mode."""
    rotated = [file for file in images(files) if file.rotated]
    if rotated:
        yield Finding(
            "note", "EXIF rotation", f"{number_of(rotated, 'image')} rotated upright according to EXIF.", tuple(rotated)
        )
    odd = [file for file in images(files) if file.mode not in COMMON_MODES]
    if odd:
        modes = ", ".join(f"{mode} ({count})" for mode, count in Counter(file.mode for file in odd).most_common())
        message = f"{number_of(odd, 'image')} converted to RGB or greyscale, from {modes}."
        yield Finding("note", "colour mode", message, tuple(odd))


def sizes(files: Sequence[InspectedFile]) -> Iterable[Finding]:
    """Image sizes and aspect ratios, and the recommended fit."""
    good = images(files)
    if not good:
        return
    sides = [side for file in good for side in (file.width, file.height)]
    cropped = mean(1 - min(file.width, file.height) / max(file.width, file.height) for file in good)
    fit = "pad" if cropped > MAX_CROPPED_SHARE else "crop"
    message = (
        f"sides of {min(sides)} to {max(sides)} pixels (median {median(sides):.0f}). Cropping to a square removes "
        f"{100 * cropped:.0f} % of an image on average; recommended: --data.fit {fit}."
    )
    yield Finding("note", "sizes", message)


CHECKS: tuple[Check, ...] = (
    unreadable,
    identical_images,
    exact_duplicates,
    similar_images,
    placeholders,
    wrong_extension,
    class_sizes,
    missing_classes,
    small_images,
    handled,
    sizes,
)
