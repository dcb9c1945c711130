"""Files moved aside, with a log, and the way back. Nothing is deleted, and nothing is written over."""

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
    """Reasons by file: what cannot be trained on, placeholders, and all copies of an image but one.

    The copy that is kept is that of the test split, or else of the validation split. An image under two labels stays:
    which of them is right, only a person can say.
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
    """Move files from ``root`` to the same place under ``folder``, each logged before it is moved.

    Raises:
        UserError: ``folder`` is within ``root``, where its files would be trained on, or holds a file of that name.
    """
    if folder.resolve().is_relative_to(root.resolve()):
        raise UserError(f"--quarantine is {str(folder)!r}, which is within {str(root)!r}. Give a folder outside it.")
    taken = [path for path in reasons if (folder / path.relative_to(root)).exists()]
    if taken:
        raise UserError(f"{str(folder)!r} holds a file like {str(taken[0].relative_to(root))!r} already. Give another.")
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
    """Move everything back that the log names and that is still there.

    Returns:
        the files that are back, relative to ``root``.

    Raises:
        UserError: there is no log, or a file has taken the place of one that would come back.
    """
    log = folder / LOG
    if not log.is_file():
        raise UserError(f"--restore is {str(folder)!r}, which holds no {LOG}. Give the folder of a --quarantine.")
    with log.open(newline="", encoding="utf-8") as stream:
        paths = [Path(row["path"]) for row in csv.DictReader(stream)]
    waiting = [path for path in paths if (folder / path).exists()]
    taken = [path for path in waiting if (root / path).exists()]
    if taken:
        raise UserError(f"{str(root / taken[0])!r} exists: move it away, and restore again. Nothing was moved.")
    for path in waiting:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / path, root / path)
    log.unlink()
    return waiting
