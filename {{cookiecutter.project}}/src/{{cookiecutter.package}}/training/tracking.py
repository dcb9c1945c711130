"""Starting and closing the W&B run of a training. No error in W&B ends the training."""

from __future__ import annotations

import logging
import netrc
import os
import shlex
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from ..program import runner
from .wandb_logger import WandbLogger

log = logging.getLogger(__name__)

open_loggers: list[WandbLogger] = []
"""W&B loggers of the current training in this process."""

WANDB_HOST = "api.wandb.ai"
HEADER_BYTES = 7  # size of an empty .wandb file
WRITE_SECONDS = 5.0  # for the service to write what it received
UPLOAD_SECONDS = 600.0  # for the upload at the end of an online run; `wandb sync` uploads the rest


@dataclass(frozen=True)
class TrackingSettings:
    """Where a run is recorded besides its directory.

    Attributes:
        wandb: where W&B writes; ``auto`` is online when the user is logged in and offline when not; ``off`` switches
            W&B off.
        project: W&B project; None is the name of this package.
        entity: W&B user or team; None is the personal default.
        tags: tags of the W&B run, beside the names of the model's and the data set's class.
        group: group of the W&B run, for example of the seeds of one recipe.
        log_model: upload the best and the last checkpoint, as a W&B artifact.
        watch_gradients: log histograms of the gradients once an epoch.
    """

    wandb: Literal["auto", "online", "offline", "off"] = "auto"
    project: str | None = None
    entity: str | None = None
    tags: list[str] | None = None
    group: str | None = None
    log_model: bool = True
    watch_gradients: bool = False


def wandb_mode(settings: TrackingSettings) -> str:
    """``online``, ``offline`` or ``off``; the environment variable WANDB_MODE replaces ``auto``."""
    if settings.wandb != "auto":
        return settings.wandb
    asked = os.environ.get("WANDB_MODE", "")
    if asked in {"online", "offline", "disabled"}:
        return "off" if asked == "disabled" else asked
    return "online" if logged_in() else "offline"


def logged_in() -> bool:
    """Whether a W&B key is in the environment or in the file that ``wandb login`` writes; does not prompt."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = os.environ.get("WANDB_BASE_URL", WANDB_HOST).removeprefix("https://").removeprefix("http://").strip("/")
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


@rank_zero_only
def start_wandb(
    settings: TrackingSettings, directory: Path, recipe: str, config: dict[str, Any], resumed: dict[str, Any]
) -> WandbLogger | None:
    """Start a W&B run, on rank zero, and return its logger.

    Args:
        settings: of W&B.
        directory: of the run.
        recipe: name of the recipe.
        config: the resolved config.
        resumed: the bundle of the checkpoint to resume from, with the id of its W&B run; empty for a new training.

    Returns:
        the logger; None if W&B is off or, after a warning, if it cannot be started.
    """
    mode = wandb_mode(settings)
    if mode == "off":
        return None
    run_id = resumed.get("wandb_id")
    try:
        import wandb

        run = wandb.init(
            id=run_id,
            resume=None if run_id is None else "allow",
            name=f"{recipe}/{directory.name}",
            dir=directory.absolute(),  # W&B's service may have been started in another folder
            mode=mode,  # type: ignore[arg-type]
            project=settings.project or __package__.split(".")[0],
            entity=settings.entity,
            tags=[*(settings.tags or []), config["model"]["class_path"], config["data"]["class_path"]],
            group=settings.group,
            config=config,
            settings=wandb.Settings(silent=True),
        )
        logger = WandbLogger(run, config["monitor"], directory, resumed.get("history", []), run_id is not None)
        open_loggers.append(logger)
        return logger
    except Exception as error:  # an error of any type in W&B must not end the training
        log.warning("W&B does not work (%s: %s); metrics go to metrics.csv only.", type(error).__name__, error)
        return None


def finish_wandb(exit_code: int = 0) -> None:
    """Close the W&B run, if one is open; the next training of this process starts a new one."""
    while open_loggers:
        logger = open_loggers.pop()
        run = logger.run
        is_closed = logger.attempt(partial(run.finish, exit_code), None if run.offline else UPLOAD_SECONDS)
        file = Path(run.settings.sync_file)
        if is_closed and run.offline and not is_written(file):
            log.warning("W&B wrote nothing to %s: is the disk full? The files of the run itself are complete.", file)


def is_written(file: Path) -> bool:
    """Whether W&B's service has written more than a header. It writes after ``finish`` and does not report errors."""
    end = time.monotonic() + WRITE_SECONDS
    while (not file.is_file() or file.stat().st_size <= HEADER_BYTES) and time.monotonic() < end:
        time.sleep(0.05)
    return file.is_file() and file.stat().st_size > HEADER_BYTES


def sync_command(directory: Path) -> str | None:
    """The command that uploads the offline W&B runs of a run directory; a resumed run has several."""
    if not any((directory / "wandb").glob("offline-run-*")):
        return None
    return f"{runner()}wandb sync {shlex.quote(os.path.relpath(directory / 'wandb'))}/offline-run-*"
