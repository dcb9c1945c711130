"""Metrics go to disk, always; to W&B as well, unless switched off, and never at the training's expense."""

from __future__ import annotations

import logging
import netrc
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import CSVLogger, Logger

log = logging.getLogger(__name__)

WANDB_HOST = "api.wandb.ai"


@dataclass(frozen=True)
class TrackingSettings:
    """Where metrics go beside ``metrics.csv``.

    Attributes:
        wandb: ``auto`` is online when the user is logged in and offline when not; ``off`` switches W&B off.
        project: W&B project.
        entity: W&B user or team; None is the personal default.
        tags: of the W&B run.
        group: of the W&B run, for seeds of one recipe, say.
    """

    wandb: Literal["auto", "online", "offline", "off"] = "auto"
    project: str | None = None
    entity: str | None = None
    tags: list[str] | None = None
    group: str | None = None


def build_loggers(settings: TrackingSettings, directory: Path, recipe: str, config: dict[str, Any]) -> list[Logger]:
    """The CSV logger, and the W&B logger where it is wanted and can be had."""
    loggers: list[Logger] = [CSVLogger(directory, name="", version="")]
    mode = wandb_mode(settings)
    if mode != "off":
        loggers += start_wandb(settings, mode, directory, recipe, config)
    return loggers


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


def start_wandb(
    settings: TrackingSettings, mode: str, directory: Path, recipe: str, config: dict[str, Any]
) -> list[Logger]:
    """A list with the W&B logger, or an empty one, with a warning, when W&B does not work."""
    try:
        import wandb
        from lightning.pytorch.loggers import WandbLogger

        logger = WandbLogger(
            name=f"{recipe}/{directory.name}",
            save_dir=directory,
            offline=mode == "offline",
            project=settings.project,
            entity=settings.entity,
            tags=settings.tags,
            group=settings.group,
            config=config,
            settings=wandb.Settings(silent=True),
        )
        _ = logger.experiment  # starts the run now, while failing is cheap
    except Exception as error:  # whatever W&B raises, a training must not end by it
        log.warning("W&B does not work (%s: %s); metrics go to metrics.csv only.", type(error).__name__, error)
        return []
    return [logger]


def finish_wandb(exit_code: int = 0) -> None:
    """Close the W&B run, if one is open, so that the next training of this process starts another."""
    wandb = sys.modules.get("wandb")
    if wandb is None or wandb.run is None:
        return
    try:
        wandb.finish(exit_code)
    except Exception as error:  # the training is over, and its record is on disk
        log.warning("W&B did not close its run (%s: %s).", type(error).__name__, error)


def sync_command(loggers: list[Logger]) -> str | None:
    """The command that uploads an offline W&B run; None where there is nothing to upload."""
    for logger in loggers:
        if getattr(logger, "_offline", False):
            return f"wandb sync {Path(logger.experiment.dir).parent}"  # type: ignore[attr-defined]
    return None
