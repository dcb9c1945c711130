"""Check all files of an image folder before training, and report problems."""

import csv
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ...engine.folder import index_folder
from ...engine.image_cache import FileDigests
from ...engine.reading import read_csv
from ...engine.recipes import VerbParser
from ...engine.splits import SPLITS
from ...errors import UserError, program_name
from ...files import move, replacing, require_output, writing
from ..pages.rendering import thumbnail, write_page
from .findings import SEVERITIES, Finding, audit, grouped
from .inspection import InspectedFile, inspect_folder

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
LOG = "quarantine.csv"
PRINTED = 5  # findings of a kind; all are in the table and on the page


def run_audit(options: Sequence[str]) -> int:
    """Print the findings, and write them as a page and a table; returns 2 with errors, 1 with warnings, else 0."""
    parser = VerbParser("audit", __doc__, "Exit status: 0 without problems, 1 with warnings, 2 with errors.")
    add = parser.add_argument
    add("root", type=Path, help="folder of images: ROOT/<class>/* or ROOT/train/<class>/*")
    cache_help = "image cache of trainings, checked against the files (default: data/cache)"
    add("--cache_dir", type=Path, default=Path("data/cache"), help=cache_help)
    add("--output", type=Path, default=Path("audit"), help="folder for audit.html and audit.csv (default: audit)")
    add = parser.add_mutually_exclusive_group().add_argument
    add("--quarantine", type=Path, metavar="DIR", help="move unreadable files, placeholders and copies to DIR")
    add("--restore", type=Path, metavar="DIR", help="move the files in DIR back")
    arguments = parser.parse_args(options)
    root, output, aside = arguments.root, arguments.output, arguments.quarantine
    if arguments.restore:
        print(f"{restore(arguments.restore, root):,} files moved back to {root}")
        return 0
    index = index_folder(root)
    if aside and aside.resolve().is_relative_to(root.resolve()):
        raise UserError(f"--quarantine is {str(aside)!r}, which is inside {str(root)!r}. Give a folder outside it.")
    with writing("--output", output):
        output.mkdir(parents=True, exist_ok=True)
    require_output(output / "audit.html")
    files = inspect_folder(index)
    stale = set(FileDigests(arguments.cache_dir).stale({file.path: file.digest for file in files if file.digest}))
    findings = audit(files, [file for file in files if file.path in stale])
    write_csv(output / "audit.csv", findings, root)
    write_audit_page(output / "audit.html", findings, files, root)
    if aside:
        reasons = files_to_move(findings)
        quarantine(aside, root, reasons)
    print(f"{root}: {len(files):,} files")  # after all files are written, as the reader may leave
    print_findings(findings, root)
    print(output / "audit.html")
    if aside:
        undo = shlex.join(["audit", str(root), "--restore", str(aside)])
        print(f"{len(reasons):,} files moved to {aside}; to undo: {program_name()} {undo}")
    return max(({"error": 2, "warning": 1, "note": 0}[finding.severity] for finding in findings), default=0)


def print_findings(findings: Sequence[Finding], root: Path) -> None:
    """Print some findings of each kind, one line per finding and one per example file.

    Without line breaks, so that paths can be copied.
    """
    console = Console(highlight=False, soft_wrap=True)
    if all(finding.severity == "note" for finding in findings):
        console.print("No problems found.")
    for (severity, kind), of_kind in grouped(findings, lambda finding: (finding.severity, finding.kind)).items():
        for finding in of_kind[:PRINTED]:
            console.print(f"[{STYLES[severity]}]{severity:7}[/] {escape(kind)}: {escape(finding.message)}")
            for file in finding.files[:3]:
                console.print(f"          {escape(file.path.relative_to(root).as_posix())}")
            if len(finding.files) > 3:
                console.print(f"          and {len(finding.files) - 3:,} more", style="dim")
        if len(of_kind) > PRINTED:
            console.print(f"        {escape(kind)}: {len(of_kind) - PRINTED:,} more findings in audit.csv", style="dim")


def write_csv(file: Path, findings: Sequence[Finding], root: Path) -> None:
    """Write one row per file and finding; column ``finding`` numbers the findings and so groups copies of an image."""
    with replacing(file) as stream:
        writer = csv.writer(stream)
        writer.writerow(["severity", "kind", "finding", "path", "class", "split", "message"])
        for number, finding in enumerate(findings, start=1):
            about = [finding.severity, finding.kind, number]
            for found in finding.files:
                place = [found.path.relative_to(root).as_posix(), found.class_name, found.split]
                writer.writerow([*about, *place, found.problem or finding.message])
            if not finding.files:
                writer.writerow([*about, "", "", "", finding.message])


def write_audit_page(file: Path, findings: Sequence[Finding], files: Sequence[InspectedFile], root: Path) -> None:
    """Write the findings, the number of images of each class, and six samples of each, evenly spaced in path order."""
    present = {found.split for found in files}
    by_class = sorted(grouped(files, lambda found: found.class_name).items())
    classes = {name: [found for found in of_class if not found.problem] for name, of_class in by_class}
    write_page(
        file,
        __package__,
        filters={
            "relative": lambda found: found.path.relative_to(root).as_posix(),
            "thumbnail": lambda found: None if found.problem else thumbnail(found.path, 128),
            "samples": lambda images: [images[num * len(images) // 6] for num in range(6)] if images[6:] else images,
        },
        root=root.resolve().name,
        num_files=len(files),
        counts={severity: sum(finding.severity == severity for finding in findings) for severity in SEVERITIES},
        findings=findings,
        splits=[split for split in SPLITS if split in present],
        missing_splits=[split for split in SPLITS if split not in present],
        classes=classes,
        largest=max(1, *map(len, classes.values())),
    )


def files_to_move(findings: Iterable[Finding]) -> dict[Path, str]:
    """Files to move, with reasons: unusable files, placeholders, and all but one of the copies of an image.

    The copy in the test split is kept, else the one in the validation split. An image with two labels is not moved,
    because only a person can decide which label is correct.
    """
    reasons: dict[Path, str] = {}
    for finding in findings:
        if finding.kind in {"unreadable", "placeholder"}:
            reasons |= {file.path: file.problem or finding.kind for file in finding.files}
        elif finding.kind in {"duplicate", "duplicate across splits"}:
            kept = max(finding.files, key=lambda file: (SPLITS.index(file.split), str(file.path)))
            for file in finding.files:
                if file is not kept:
                    reasons.setdefault(file.path, f"copy of {kept.path.name}")
    return reasons


def quarantine(folder: Path, root: Path, reasons: dict[Path, str]) -> None:
    """Move files from ``root`` to the same relative path under ``folder``; the moves are logged first."""
    taken = [path for path in reasons if (folder / path.relative_to(root)).exists()]
    if taken:
        raise UserError(f"{str(folder)!r} already has {str(taken[0].relative_to(root))!r}. Give another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    rows = {path.relative_to(root).as_posix(): reason for path, reason in sorted(reasons.items())}
    known = dict(read_log(folder / LOG)) if (folder / LOG).is_file() else {}
    with replacing(folder / LOG) as stream:
        writer = csv.writer(stream)
        writer.writerows([("path", "reason"), *(known | rows).items()])
    for path in rows:
        move(root / path, folder / path)


def read_log(file: Path) -> list[tuple[str, str]]:
    """Path and reason of each file that was moved, or was going to be."""
    remedy = f"Correct the file, or move the files in {str(file.parent)!r} back by hand."
    rows = [(row["path"], row["reason"]) for row in read_csv(file, ("path", "reason"), remedy)]
    if outside := [path for path, _ in rows if Path(path).is_absolute() or ".." in Path(path).parts]:
        raise UserError(f"{str(file)!r} names {outside[0]!r}, which is not inside the folder. {remedy}")
    return rows


def restore(folder: Path, root: Path) -> int:
    """Move all files back that are in the log and still in the quarantine folder; returns their number."""
    log = folder / LOG
    if not log.is_file():
        raise UserError(f"--restore is {str(folder)!r}, which has no {LOG}. Give the folder of an audit --quarantine.")
    paths = [path for path, _ in read_log(log)]
    waiting = [path for path in paths if (folder / path).exists()]
    taken = [path for path in waiting if (root / path).exists()]
    if taken:
        raise UserError(f"{str(root / taken[0])!r} exists already. Nothing was moved; remove that file and try again.")
    for path in waiting:
        move(folder / path, root / path)
    log.unlink()
    return len(waiting)
