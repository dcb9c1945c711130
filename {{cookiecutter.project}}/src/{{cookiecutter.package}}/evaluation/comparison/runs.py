"""Finds, reads and names the runs given on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...errors import UserError, some
from ..record import CONFIG, LAST, SUMMARY, find_run, find_runs, read_run
from .candidate import Candidate, candidate_of


def read_candidates(paths: Sequence[Path]) -> tuple[list[Candidate], list[Path]]:
    """Read runs, in the order given.

    Args:
        paths: run directories, folders with run directories in them, or ``last`` for the newest run.

    Returns:
        the runs that came to their test, and the directories of those that did not.

    Raises:
        UserError: there is no run in a path, or none that came to its test.
    """
    directories = run_directories(paths)
    records = [read_run(directory) for directory in directories]
    outputs = [record.outputs("test") if record.summary else None for record in records]
    unfinished = [record.directory for record, tested in zip(records, outputs, strict=True) if tested is None]
    names = short_names([directory for directory in directories if directory not in unfinished])
    by_content = all(tested.digests is not None for tested in outputs if tested is not None)  # not so in older runs
    candidates = [
        candidate_of(record, tested, names[record.directory], by_content=by_content)
        for record, tested in zip(records, outputs, strict=True)
        if tested is not None
    ]
    if not candidates:
        raise UserError(
            f"no run has a test result: {some([str(path) for path in unfinished])}. Complete a fit, and compare again."
        )
    return candidates, unfinished


def run_directories(paths: Sequence[Path]) -> list[Path]:
    """Each run once, in the order given.

    Raises:
        UserError: there is no run in a path.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if path == Path(LAST) and not path.exists():
            path = find_run(path, "RUN", lambda run: (run / SUMMARY).is_file(), "has a test result")
        directories = [path] if (path / CONFIG).is_file() else find_runs(path)
        if not directories:
            raise UserError(
                f"{str(path)!r} is not a run directory and does not contain one. Give run directories that fit has "
                "written, such as runs/digits_cnn/<date-time>, or a folder of them, such as runs."
            )
        for directory in directories:
            found.setdefault(directory.resolve(), directory)
    return list(found.values())


def short_names(directories: Sequence[Path]) -> dict[Path, str]:
    """For each path, the shortest unique beginning below the common folder."""
    parts = {directory: directory.resolve().parts for directory in directories}
    num_common = min(map(len, parts.values()), default=1) - 1
    while len({own[:num_common] for own in parts.values()}) > 1:
        num_common -= 1
    below = {directory: own[num_common:] for directory, own in parts.items()}
    return {directory: shortest_beginning(own, list(below.values())) for directory, own in below.items()}


def shortest_beginning(own: tuple[str, ...], all_parts: Sequence[tuple[str, ...]]) -> str:
    for length in range(1, len(own)):
        if sum(other[:length] == own[:length] for other in all_parts) == 1:
            return "/".join(own[:length])
    return "/".join(own)
