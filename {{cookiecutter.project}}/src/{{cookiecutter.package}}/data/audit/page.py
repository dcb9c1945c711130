"""Writes an audit as a single-file HTML page with thumbnails, and as a CSV file."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from PIL import Image, ImageOps

from ...pages.rendering import picture_url, render
from ..splits import SPLITS
from .findings import SEVERITIES, Finding, images
from .inspection import InspectedFile

MAX_THUMBNAILS = 24  # per finding
THUMBNAIL_SIDE = 128
NUM_SAMPLES = 6  # per class
MAX_CLASSES_SAMPLED = 24
COLUMNS = ("severity", "kind", "finding", "path", "class", "split", "message")


def write_csv(file: Path, findings: Sequence[Finding], root: Path) -> None:
    """Write one row per file and finding; column ``finding`` numbers the findings and so groups copies of an image."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for number, finding in enumerate(findings, start=1):
            head = [finding.severity, finding.kind, number]
            for found in finding.files:
                path = found.path.relative_to(root).as_posix()
                writer.writerow([*head, path, found.class_name, found.split, found.problem or finding.message])
            if not finding.files:
                writer.writerow([*head, "", "", "", finding.message])


def write_page(file: Path, findings: Sequence[Finding], files: Sequence[InspectedFile], root: Path) -> None:
    """Write a page that needs no other file and no network."""
    classes = describe_classes(images(files), sorted({found.class_name for found in files}), root)
    page = render(
        __package__,
        root=root.resolve().name,
        date=datetime.now().strftime("%Y-%m-%d %H:%M"),
        num_files=len(files),
        counts={severity: sum(f.severity == severity for f in findings) for severity in SEVERITIES},
        findings=[describe(finding, root) for finding in findings],
        splits=[split for split in SPLITS if any(found.split == split for found in files)],
        missing_splits=[split for split in SPLITS if not any(found.split == split for found in files)],
        classes=classes,
        num_without_samples=max(0, len(classes) - MAX_CLASSES_SAMPLED),
    )
    file.write_text(page, encoding="utf-8")


def describe_classes(good: Sequence[InspectedFile], names: Sequence[str], root: Path) -> list[dict[str, object]]:
    """For each class, the number of images in each split and a few samples, evenly spaced in path order."""
    by_class: dict[str, list[InspectedFile]] = {name: [] for name in names}
    for found in good:
        by_class[found.class_name].append(found)
    most = max((len(members) for members in by_class.values()), default=0)
    rows: list[dict[str, object]] = []
    for position, (name, members) in enumerate(by_class.items()):
        num = min(NUM_SAMPLES, len(members))
        chosen = [members[number * len(members) // num] for number in range(num)]
        rows.append(
            {
                "name": name,
                "counts": Counter(found.split for found in members),
                "total": len(members),
                "share": 100 * len(members) / max(1, most),
                "samples": [as_picture(found, root) for found in chosen] if position < MAX_CLASSES_SAMPLED else [],
            }
        )
    return rows


def describe(finding: Finding, root: Path) -> dict[str, object]:
    shown = finding.files[:MAX_THUMBNAILS]
    return {
        "severity": finding.severity,
        "kind": finding.kind,
        "message": finding.message,
        "files": [as_picture(found, root) for found in shown],
        "num_hidden": len(finding.files) - len(shown),
    }


def as_picture(found: InspectedFile, root: Path) -> dict[str, str | None]:
    return {"path": found.path.relative_to(root).as_posix(), "image": thumbnail(found), "problem": found.problem}


def thumbnail(found: InspectedFile) -> str | None:
    """A data URL; None if the file is not an image."""
    if found.problem:
        return None
    with Image.open(found.path) as image:
        image.draft("RGB", (2 * THUMBNAIL_SIDE, 2 * THUMBNAIL_SIDE))
        upright = ImageOps.exif_transpose(image).convert("RGB")
    return picture_url(upright, THUMBNAIL_SIDE)
