"""What a training must have in common with the checkpoint that it goes on from."""

from __future__ import annotations

from ..deployment.checkpoint import Checkpoint
from ..errors import UserError

LAID_OUT = {"onecycle", "cosine"}  # schedules that depend on the number of steps


def require_same_length(checkpoint: Checkpoint, max_epochs: int) -> None:
    """Refuse to resume a schedule that was laid out for another number of epochs."""
    trained = checkpoint["bundle"]["config"]
    schedule = checkpoint["hyper_parameters"]["schedule"]["name"]
    if schedule in LAID_OUT and trained["trainer"]["max_epochs"] != max_epochs:
        raise UserError(
            f"trainer.max_epochs is {max_epochs}, and the checkpoint's {schedule} schedule was laid out for "
            f"{trained['trainer']['max_epochs']} epochs. Resume with --trainer.max_epochs "
            f"{trained['trainer']['max_epochs']}."
        )


def require_same_processes(checkpoint: Checkpoint, num_processes: int) -> None:
    """Refuse to resume with other steps than the checkpoint counts: the place in its epoch, its schedule."""
    trained = checkpoint["bundle"].get("num_processes", num_processes)
    if trained != num_processes:
        raise UserError(
            f"the checkpoint is of a training on {trained} processes, and this one has {num_processes} "
            "(trainer.devices x trainer.num_nodes). Resume with as many, or start a new training from its weights with "
            "--init_from."
        )
