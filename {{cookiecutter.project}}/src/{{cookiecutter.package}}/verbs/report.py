"""Write the report of a run again, from its run directory."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from json import JSONDecodeError
from pathlib import Path
from zipfile import BadZipFile

from yaml import YAMLError

from ..errors import UserError
from ..evaluation.record import CONFIG, RunRecord, find_run, read_run
from .verb_parser import VerbParser

SECTIONS = {"data", "model", "monitor", "run", "trainer"}


def build_parser() -> argparse.ArgumentParser:
    parser = VerbParser("report", __doc__)
    parser.add_argument(
        "run",
        type=Path,
        metavar="RUN",
        help="run directory (finished or not), folder of runs (uses the newest), or last",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="page to write (default: RUN/report.html)")
    return parser


def report(options: Sequence[str]) -> None:
    """Write the page, replacing an older one, and print its path.

    Raises:
        UserError: the run does not exist, one of its files is damaged, or the page cannot be written.
    """
    from ..evaluation.report.page import FILE_NAME, write_report

    arguments = build_parser().parse_args(options)
    arguments.run = find_run(arguments.run, "RUN", lambda _: True, f"has {CONFIG}")
    output: Path = arguments.output or arguments.run / FILE_NAME
    try:
        run = require_run(arguments.run)
        require_file(output)
        write_report(run, output)
    except (BadZipFile, EOFError, JSONDecodeError) as error:
        raise UserError(
            f"a file in {str(arguments.run)!r} is damaged ({error}), because the run was stopped while writing it. "
            "Remove that file (outputs.npz or a .json) for a report from the other files."
        ) from error
    print(output)


def require_run(directory: Path) -> RunRecord:
    try:
        run = read_run(directory)
    except YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{str(directory / CONFIG)!r} is not valid YAML: {reason}. Correct that line.") from error
    missing = SECTIONS - set(run.config) if isinstance(run.config, dict) else SECTIONS
    if missing:
        raise UserError(
            f"{str(directory / CONFIG)!r} is not the config of a run: it lacks {', '.join(sorted(missing))}. Give a "
            "run directory written by fit."
        )
    return run


def require_file(output: Path) -> None:
    if output.is_dir() or not output.parent.is_dir():
        why = "is a folder" if output.is_dir() else f"is in {str(output.parent)!r}, and there is no such folder"
        raise UserError(f"--output is {str(output)!r}, which {why}. Give a file, such as report.html.")
