"""What a run tells W&B, unless it is switched off, and never at the training's expense."""

from __future__ import annotations

import logging
import netrc
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch.utilities.rank_zero import rank_zero_only

if TYPE_CHECKING:
    from lightning.pytorch.loggers import WandbLogger

log = logging.getLogger(__name__)

WANDB_HOST = "api.wandb.ai"


@dataclass(frozen=True)
class TrackingSettings:
    """Where a run goes beside its directory.

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
    settings: TrackingSettings, directory: Path, recipe: str, config: dict[str, Any], run_id: str | None = None
) -> WandbLogger | None:
    """Start a W&B run, on rank zero, and give its logger.

    Args:
        settings: where it goes.
        directory: of the run.
        recipe: its name.
        config: the resolved one.
        run_id: of the W&B run to continue; None starts a new one.

    Returns:
        None where W&B is off and, after a warning, where it does not work.
    """
    mode = wandb_mode(settings)
    if mode == "off":
        return None
    try:
        import wandb
        from lightning.pytorch.loggers import WandbLogger

        run = wandb.init(
            id=run_id,
            resume=None if run_id is None else "allow",
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
