"""``fit --resume``: a run that stopped goes on in its own directory, as if it had not."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..evaluation.record import CONFIG, find_runs
from ..training import run_status
from ..training.run_directory import RunSettings

LAST = "last"

log = logging.getLogger(__name__)


def resume_options(options: Sequence[str]) -> tuple[list[str], Path | None]:
    """Options of ``fit`` in which ``--resume`` has become the run's own config and last checkpoint, and its directory.

    Returns:
        the options as they are, and None, where there is no ``--resume`` among them.

    Raises:
        UserError: there is no such run, or it is finished.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume")
    parser.add_argument("--run.root", dest="root", default=RunSettings.root)
    resume = parser.parse_known_args(options)[0].resume
    if resume is None:
        return list(options), None
    run = find_run(resume, Path(parser.parse_known_args(options)[0].root))
    checkpoint = run / "checkpoints" / "last.ckpt"
    own = [f"--config={run / CONFIG}", *without_resume(options)]
    if checkpoint.is_file():
        return [*own, f"--ckpt_path={checkpoint}"], run
    log.info("%s stopped before its first checkpoint, and begins again", run)
    return own, run


def without_resume(options: Sequence[str]) -> list[str]:
    """The options without ``--resume`` and its value."""
    kept, skip = [], False
    for option in options:
        if not skip and option != "--resume" and not option.startswith("--resume="):
            kept.append(option)
        skip = option == "--resume"
    return kept


def find_run(resume: str, root: Path) -> Path:
    """The run directory that ``--resume`` names: ``last`` is the unfinished one that was written to most recently."""
    if resume == LAST and not Path(resume).exists():
        unfinished = [run for run in find_runs(root) if state_of(run) != "finished"]
        if not unfinished:
            raise UserError(
                f"resume is {resume!r}, and no run in {str(root)!r} is unfinished. Give the directory of a run, or "
                "start a new one without --resume."
            )
        return max(unfinished, key=lambda run: (run / run_status.FILE_NAME).stat().st_mtime)
    run = Path(resume)
    if not (run / CONFIG).is_file():
        raise UserError(
            f"resume is {resume!r}, which is no run directory: it has no {CONFIG}. Give one that fit has written, or "
            f"{LAST}."
        )
    if state_of(run) == "finished":
        raise UserError(
            f"resume is {resume!r}, a run that is finished. To train on from its weights in a new run, give "
            f"--init_from {resume}; to train for more epochs, start anew with a larger --trainer.max_epochs."
        )
    return run


def state_of(run: Path) -> str:
    """As ``status.json`` has it; a run without that file cannot be gone on with, and counts as finished."""
    file = run / run_status.FILE_NAME
    return json.loads(file.read_text(encoding="utf-8"))["state"] if file.is_file() else "finished"
