"""Tracking with W&B: where a run is logged, and what happens where W&B does not work."""

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
"""Of the training of this process."""

WANDB_HOST = "api.wandb.ai"
HEADER_BYTES = 7  # of a .wandb file in which nothing is
WRITE_SECONDS = 5.0  # for the service to write what it was told
UPLOAD_SECONDS = 600.0  # for the upload that ends an online run; what is left then, `wandb sync` uploads


@dataclass(frozen=True)
class TrackingSettings:
    """Where a run goes beside its directory.

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
    """``online``, ``offline`` or ``off``; the environment variable WANDB_MODE wins over ``auto``."""
    if settings.wandb != "auto":
        return settings.wandb
    asked = os.environ.get("WANDB_MODE", "")
    if asked in {"online", "offline", "disabled"}:
        return "off" if asked == "disabled" else asked
    return "online" if logged_in() else "offline"


def logged_in() -> bool:
    """Whether a W&B key is in the environment or in the file that ``wandb login`` writes; asks nobody."""
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
    """Start a W&B run, on rank zero, and give its logger.

    Args:
        settings: where it goes.
        directory: of the run.
        recipe: its name.
        config: the resolved one.
        resumed: the bundle of the checkpoint from which the training goes on, and its W&B run; empty for a new one.

    Returns:
        None where W&B is off and, after a warning, where it does not work.
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
    except Exception as error:  # whatever W&B raises, a training must not end by it
        log.warning("W&B does not work (%s: %s); metrics go to metrics.csv only.", type(error).__name__, error)
        return None


def finish_wandb(exit_code: int = 0) -> None:
    """Close the W&B run, if one is open, so that the next training of this process starts another."""
    while open_loggers:
        logger = open_loggers.pop()
        run = logger.run
        is_closed = logger.attempt(partial(run.finish, exit_code), None if run.offline else UPLOAD_SECONDS)
        file = Path(run.settings.sync_file)
        if is_closed and run.offline and not is_written(file):
            log.warning("W&B wrote nothing to %s: is the disk full? The files of the run itself are complete.", file)


def is_written(file: Path) -> bool:
    """Whether W&B's service has written more than a header, which it does behind ``finish``; what fails it keeps."""
    end = time.monotonic() + WRITE_SECONDS
    while (not file.is_file() or file.stat().st_size <= HEADER_BYTES) and time.monotonic() < end:
        time.sleep(0.05)
    return file.is_file() and file.stat().st_size > HEADER_BYTES


def sync_command(directory: Path) -> str | None:
    """The command that uploads the offline W&B runs of a run directory: of one that was resumed, several."""
    if not any((directory / "wandb").glob("offline-run-*")):
        return None
    return f"{runner()}wandb sync {shlex.quote(os.path.relpath(directory / 'wandb'))}/offline-run-*"
