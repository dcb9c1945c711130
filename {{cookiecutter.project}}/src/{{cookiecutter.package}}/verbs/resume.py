"""``fit --resume``: a run that stopped goes on in its own directory, as if it had not."""

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
    run = run_to_resume(resume, Path(parser.parse_known_args(options)[0].root))
    checkpoint = run / LAST_CHECKPOINT
    own = [f"--config={run / CONFIG}", *without_resume(options)]
    if checkpoint.is_file():
        return [*own, f"--ckpt_path={checkpoint}"], run
    log.info("%s stopped before its first checkpoint: training starts again", run)
    return own, run


def restarted_run(settings: RunSettings, recipe: str) -> Path | None:
    """The directory in which a launcher's job goes on, when it is started again; None for a job's first start.

    All processes must decide alike, whenever they look, and rank zero is writing into that directory meanwhile. So the
    last checkpoint alone decides: it is not written before all of them have begun to train.

    Raises:
        UserError: the job's run is finished.
    """
    if not is_launched():
        return None
    run = Path(os.environ[INHERITED]) if INHERITED in os.environ else launched_directory(settings, recipe)
    if not (run / LAST_CHECKPOINT).is_file():
        return None
    if state_of(run) == "finished":
        raise UserError(
            f"the run of this job, {str(run)!r}, is finished. For another run, give another --run.name or "
            "--run.directory, or a new job id (torchrun --rdzv-id NAME)."
        )
    log.info("%s has a checkpoint of this job: training continues from it", run)
    return run


def without_resume(options: Sequence[str]) -> list[str]:
    """The options without ``--resume`` and its value."""
    kept, skip = [], False
    for option in options:
        if not skip and option != "--resume" and not option.startswith("--resume="):
            kept.append(option)
        skip = option == "--resume"
    return kept


def run_to_resume(resume: str, root: Path) -> Path:
    """The run directory that ``--resume`` names; of several, the unfinished one that was written to most recently."""
    if INHERITED in os.environ:  # a copy of a process that has found it
        return Path(os.environ[INHERITED])
    run = find_run(Path(resume), "--resume", lambda run: state_of(run) != "finished", "is unfinished", root)
    if state_of(run) == "finished":
        raise UserError(
            f"--resume is {resume!r}, a run that is finished. To train on from its weights in a new run, give "
            f"--init_from {run}; to train for more epochs, start anew with a larger --trainer.max_epochs."
        )
    return run


def state_of(run: Path) -> str:
    """As ``status.json`` has it; a run without that file cannot be gone on with, and counts as finished."""
    file = run / run_status.FILE_NAME
    return json.loads(file.read_text(encoding="utf-8"))["state"] if file.is_file() else "finished"
