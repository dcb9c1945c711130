"""``fit --resume``: continues a stopped run in its own directory, exactly as if it had not stopped."""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..evaluation.record import CONFIG, find_run
from ..training import run_status
from ..training.run_directory import INHERITED, RunSettings, is_launched, launched_directory

LAST_CHECKPOINT = Path("checkpoints", "last.ckpt")

log = logging.getLogger(__name__)


def resume_options(options: Sequence[str]) -> tuple[list[str], Path | None]:
    """Replace ``--resume`` by the run's config and last checkpoint; also returns the run's directory.

    Returns:
        the new options and the run directory; without ``--resume``, the same options and None.

    Raises:
        UserError: the run does not exist or is finished.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume")
    parser.add_argument("--run.root", dest="root", default=RunSettings.root)
    resume = parser.parse_known_args(options)[0].resume
    if resume is None:
        return list(options), None
    run = run_to_resume(resume, Path(parser.parse_known_args(options)[0].root))
    checkpoint = run / LAST_CHECKPOINT
    own = [f"--config={run / CONFIG}", *without_resume(options)]
    if checkpoint.is_file():
        return [*own, f"--ckpt_path={checkpoint}"], run
    log.info("%s has no checkpoint yet: training starts from the beginning", run)
    return own, run


def restarted_run(settings: RunSettings, recipe: str) -> Path | None:
    """The run directory of a launcher's job that is started again; None for a job's first start.

    All processes must decide alike, at different times and while rank zero writes into that directory. So only the
    last checkpoint decides, because it is written after all processes have started training.

    Raises:
        UserError: the run of the job is finished.
    """
    if not is_launched():
        return None
    run = Path(os.environ[INHERITED]) if INHERITED in os.environ else launched_directory(settings, recipe)
    if not (run / LAST_CHECKPOINT).is_file():
        return None
    if state_of(run) == "finished":
        raise UserError(
            f"the run of this job, {str(run)!r}, is finished. For a new run, give another --run.name or "
            "--run.directory, or a new job id (torchrun --rdzv-id NAME)."
        )
    log.info("%s has a checkpoint of this job: training continues from it", run)
    return run


def without_resume(options: Sequence[str]) -> list[str]:
    """Options without ``--resume`` and its value."""
    kept, skip = [], False
    for option in options:
        if not skip and option != "--resume" and not option.startswith("--resume="):
            kept.append(option)
        skip = option == "--resume"
    return kept


def run_to_resume(resume: str, root: Path) -> Path:
    """The run directory for ``--resume``; in a folder of runs, the most recently written unfinished one."""
    if INHERITED in os.environ:  # a copy of a process that has already found it
        return Path(os.environ[INHERITED])
    run = find_run(Path(resume), "--resume", lambda run: state_of(run) != "finished", "is unfinished", root)
    if state_of(run) == "finished":
        raise UserError(
            f"--resume is {resume!r}, which is finished. To start a new run from its weights, give "
            f"--init_from {run}; to train for more epochs, start a new run with a larger --trainer.max_epochs."
        )
    return run


def state_of(run: Path) -> str:
    """State of a run in ``status.json``; a run without that file cannot be resumed and counts as finished."""
    file = run / run_status.FILE_NAME
    return json.loads(file.read_text(encoding="utf-8"))["state"] if file.is_file() else "finished"
