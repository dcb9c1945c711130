"""An audit as an HTML page of one file, with thumbnails, and as a CSV file."""

from __future__ import annotations

import base64
import csv
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from .findings import SEVERITIES, Finding
from .inspection import InspectedFile

MAX_THUMBNAILS = 24  # of a finding
THUMBNAIL_SIDE = 128
COLUMNS = ("severity", "kind", "finding", "path", "class", "split", "message")


def write_csv(file: Path, findings: Sequence[Finding], root: Path) -> None:
    """One row for each file of each finding; ``finding`` numbers these, so that copies of an image stand together."""
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
    """The page needs no other file and no network."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader(__package__, "."), autoescape=True, trim_blocks=True)
    page = environment.get_template("page.html").render(
        root=root.name,
        date=datetime.now().strftime("%Y-%m-%d %H:%M"),
        num_files=len(files),
        classes=sorted({found.class_name for found in files}),
        counts={severity: sum(f.severity == severity for f in findings) for severity in SEVERITIES},
        findings=[describe(finding, root) for finding in findings],
    )
    file.write_text(page, encoding="utf-8")


def describe(finding: Finding, root: Path) -> dict[str, object]:
    shown = finding.files[:MAX_THUMBNAILS]
    return {
        "severity": finding.severity,
        "kind": finding.kind,
        "message": finding.message,
        "files": [
            {"path": found.path.relative_to(root).as_posix(), "image": thumbnail(found), "problem": found.problem}
            for found in shown
        ],
        "num_hidden": len(finding.files) - len(shown),
    }


def thumbnail(found: InspectedFile) -> str | None:
    """A data URL; None where the file is no image."""
    if found.problem:
        return None
    with Image.open(found.path) as image:
        image.draft("RGB", (2 * THUMBNAIL_SIDE, 2 * THUMBNAIL_SIDE))
        small = ImageOps.exif_transpose(image).convert("RGB")
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    stream = BytesIO()
    small.save(stream, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
