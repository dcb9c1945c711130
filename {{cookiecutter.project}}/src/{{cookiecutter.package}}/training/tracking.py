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
from lightning.pytorch.utilities.rank_zero import rank_zero_only

log = logging.getLogger(__name__)

WANDB_HOST = "api.wandb.ai"


@dataclass(frozen=True)
class TrackingSettings:
    """Where metrics go beside ``metrics.csv``.

    Attributes:
        wandb: ``auto`` is online when the user is logged in and offline when not; ``off`` switches W&B off.
        project: W&B project; None is the name of this package.
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
    wandb = start_wandb(settings, mode, directory, recipe, config) if mode != "off" else None
    return [*loggers, wandb] if wandb is not None else loggers


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
    settings: TrackingSettings, mode: str, directory: Path, recipe: str, config: dict[str, Any]
) -> Logger | None:
    """Start a run, on rank zero, and give its logger; None, after a warning, when W&B does not work."""
    try:
        import wandb
        from lightning.pytorch.loggers import WandbLogger

        run = wandb.init(
            name=f"{recipe}/{directory.name}",
            dir=directory,
            mode=mode,  # type: ignore[arg-type]
            project=settings.project or __package__.split(".")[0],
            entity=settings.entity,
            tags=settings.tags,
            group=settings.group,
            config=config,
            settings=wandb.Settings(silent=True),
        )
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return WandbLogger(experiment=run)
    except Exception as error:  # whatever W&B raises, a training must not end by it
        log.warning("W&B does not work (%s: %s); metrics go to metrics.csv only.", type(error).__name__, error)
        return None


def finish_wandb(exit_code: int = 0) -> None:
    """Close the W&B run, if one is open, so that the next training of this process starts another."""
    try:
        if run := open_run():
            run.finish(exit_code)
    except Exception as error:  # the training is over, and its record is on disk
        log.warning("W&B did not close its run (%s: %s).", type(error).__name__, error)


def sync_command() -> str | None:
    """The command that uploads the W&B run, if it is an offline one."""
    run = open_run()
    return f"wandb sync {os.path.relpath(Path(run.dir).parent)}" if run and run.offline else None


def open_run() -> Any:
    """The W&B run of this process, or None; W&B is not imported for it."""
    wandb = sys.modules.get("wandb")
    return wandb.run if wandb is not None else None
