"""Moves files to a quarantine folder with a log, and restores them. No file is deleted or overwritten."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable
from pathlib import Path

from ...errors import UserError
from ..splits import SPLITS
from .findings import Finding

LOG = "quarantine.csv"
COLUMNS = ["path", "reason"]
BAD = {"unreadable", "placeholder"}
COPIES = {"duplicate", "duplicate across splits"}


def files_to_move(findings: Iterable[Finding]) -> dict[Path, str]:
    """Files to move, with reasons: unusable files, placeholders, and all but one of the copies of an image.

    The copy in the test split is kept, else the one in the validation split. An image with two labels is not moved,
    because only a person can decide which label is correct.
    """
    reasons: dict[Path, str] = {}
    for finding in findings:
        if finding.kind in BAD:
            reasons |= {file.path: file.problem or finding.kind for file in finding.files}
        elif finding.kind in COPIES:
            kept = max(finding.files, key=lambda file: (SPLITS.index(file.split), str(file.path)))
            for file in finding.files:
                if file is not kept:
                    reasons.setdefault(file.path, f"copy of {kept.path.name}")
    return reasons


def quarantine(folder: Path, root: Path, reasons: dict[Path, str]) -> None:
    """Move files from ``root`` to the same relative path under ``folder``; each move is logged first.

    Raises:
        UserError: ``folder`` is inside ``root``, so its files would be used for training, or it has such a file.
    """
    if folder.resolve().is_relative_to(root.resolve()):
        raise UserError(f"--quarantine is {str(folder)!r}, which is inside {str(root)!r}. Give a folder outside it.")
    taken = [path for path in reasons if (folder / path.relative_to(root)).exists()]
    if taken:
        raise UserError(f"{str(folder)!r} already has {str(taken[0].relative_to(root))!r}. Give another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / LOG
    is_new = not log.exists()
    with log.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if is_new:
            writer.writerow(COLUMNS)
        for path, reason in sorted(reasons.items()):
            relative = path.relative_to(root)
            writer.writerow([relative.as_posix(), reason])
            stream.flush()
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, folder / relative)


def restore(folder: Path, root: Path) -> list[Path]:
    """Move all files back that are in the log and still in the quarantine folder.

    Returns:
        the restored files, relative to ``root``.

    Raises:
        UserError: there is no log, or ``root`` already has a file of the same path.
    """
    log = folder / LOG
    if not log.is_file():
        raise UserError(f"--restore is {str(folder)!r}, which has no {LOG}. Give the folder of an audit --quarantine.")
    with log.open(newline="", encoding="utf-8") as stream:
        paths = [Path(row["path"]) for row in csv.DictReader(stream)]
    waiting = [path for path in paths if (folder / path).exists()]
    taken = [path for path in waiting if (root / path).exists()]
    if taken:
        raise UserError(f"{str(root / taken[0])!r} exists already. Nothing was moved; remove that file and try again.")
    for path in waiting:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / path, root / path)
    log.unlink()
    return waiting
