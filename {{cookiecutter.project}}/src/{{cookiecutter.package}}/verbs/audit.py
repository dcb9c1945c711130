"""Check all files of an image folder before training, and report problems."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ..data.audit.findings import Finding, audit
from ..data.audit.inspection import inspect_folder
from ..data.audit.page import write_csv, write_page
from ..data.audit.quarantine import files_to_move, quarantine, restore
from ..data.file_digests import FileDigests
from ..data.folder_index import index_folder
from ..program import program_name
from .verb_parser import VerbParser

EXIT_STATUS = {"error": 2, "warning": 1}
STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
NUM_EXAMPLES = 3
EPILOGUE = "Exit status: 0 without problems, 1 with warnings, 2 with errors."


def build_parser() -> argparse.ArgumentParser:
    parser = VerbParser("audit", __doc__, EPILOGUE)
    parser.add_argument("root", type=Path, help="folder of images: ROOT/<class>/* or ROOT/train/<class>/*")
    parser.add_argument(
        "--cache_dir",
        type=Path,
        default=Path("data/cache"),
        help="image cache of trainings, checked against the files (default: data/cache)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("audit"), help="folder for audit.html and audit.csv (default: audit)"
    )
    aside = parser.add_mutually_exclusive_group()
    aside.add_argument(
        "--quarantine", type=Path, metavar="DIR", help="move unreadable files, placeholders and copies to DIR"
    )
    aside.add_argument("--restore", type=Path, metavar="DIR", help="move the files in DIR back")
    return parser


def run_audit(options: Sequence[str]) -> int:
    """Print the findings, and write them as a page and a table.

    Returns:
        the exit status: 2 with errors, 1 with warnings, else 0.

    Raises:
        UserError: the folder does not exist or has no classes.
    """
    arguments = build_parser().parse_args(options)
    root: Path = arguments.root
    if arguments.restore:
        print(f"{len(restore(arguments.restore, root)):,} files moved back to {root}")
        return 0
    files = inspect_folder(index_folder(root))
    stale = set(FileDigests(arguments.cache_dir).stale({file.path: file.digest for file in files if file.digest}))
    findings = audit(files, [file for file in files if file.path in stale])
    print(f"{root}: {len(files):,} files")
    print_findings(findings, root)
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_csv(arguments.output / "audit.csv", findings, root)
    write_page(arguments.output / "audit.html", findings, files, root)
    print(arguments.output / "audit.html")
    if arguments.quarantine:
        reasons = files_to_move(findings)
        quarantine(arguments.quarantine, root, reasons)
        undo = shlex.join(["audit", str(root), "--restore", str(arguments.quarantine)])
        print(f"{len(reasons):,} files moved to {arguments.quarantine}; to undo: {program_name()} {undo}")
    return max((EXIT_STATUS.get(finding.severity, 0) for finding in findings), default=0)


def print_findings(findings: Sequence[Finding], root: Path) -> None:
    """Print one line per finding and one per example file, without line breaks, so that paths can be copied."""
    console = Console(highlight=False, soft_wrap=True)
    if all(finding.severity == "note" for finding in findings):
        console.print("No problems found.")
    for finding in findings:
        severity = f"[{STYLES[finding.severity]}]{finding.severity:7}[/]"
        console.print(f"{severity} {escape(finding.kind)}: {escape(finding.message)}")
        for file in finding.files[:NUM_EXAMPLES]:
            console.print(f"          {escape(file.path.relative_to(root).as_posix())}")
        if len(finding.files) > NUM_EXAMPLES:
            console.print(f"          and {len(finding.files) - NUM_EXAMPLES:,} more", style="dim")
