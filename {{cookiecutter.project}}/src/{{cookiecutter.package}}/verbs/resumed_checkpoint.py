"""Checks that a training matches the checkpoint that it resumes from."""

from __future__ import annotations

from typing import Any

from ..deployment.checkpoint import Checkpoint
from ..errors import UserError
from ..evaluation.comparison.settings import flatten

LAID_OUT = {"onecycle", "cosine"}  # schedules that depend on the total number of steps

# Settings that must not change. The location of files and the speed of reading them may.
FIXED = ("data", "model", "seed_everything", "monitor", "averaging", "cache_features", "feature_views")
FIXED_TRAINER = {"trainer.accumulate_grad_batches", "trainer.limit_train_batches", "trainer.overfit_batches"}
FREE = {"data.root", "data.num_workers", "data.cache", "data.cache_dir", "data.memory_budget_gb"}
FREE |= {"data.cache_gb", "data.retry_minutes", "data.endpoint_url"}  # when streaming


def require_same_settings(config: dict[str, Any], trained: dict[str, Any]) -> None:
    """Refuse to resume with other data, splits, model or steps; the content of ``data.root`` is checked elsewhere.

    Args:
        config: resolved config of this training.
        trained: resolved config of the run to resume.

    Raises:
        UserError: a setting differs; the message names the first one.
    """
    given, before = dict(flatten(config)), dict(flatten(trained))
    for name in given.keys() & before.keys() - FREE:
        if given[name] != before[name] and (name.split(".")[0] in FIXED or name in FIXED_TRAINER):
            raise UserError(
                f"{name} is {given[name]}, but the run has {before[name]}: a resumed run keeps its data, splits "
                "and model. Leave the option out, or start a new run (from the weights of this one with "
                "--init_from)."
            )


def require_same_length(checkpoint: Checkpoint, max_epochs: int) -> None:
    """Refuse to resume a schedule that was planned for another number of epochs."""
    trained = checkpoint["bundle"]["config"]
    schedule = checkpoint["hyper_parameters"]["schedule"]["name"]
    if schedule in LAID_OUT and trained["trainer"]["max_epochs"] != max_epochs:
        raise UserError(
            f"trainer.max_epochs is {max_epochs}, but the checkpoint's {schedule} schedule was planned for "
            f"{trained['trainer']['max_epochs']} epochs. Resume with --trainer.max_epochs "
            f"{trained['trainer']['max_epochs']}."
        )


def require_same_processes(checkpoint: Checkpoint, num_processes: int) -> None:
    """Refuse another number of processes, which would change the steps of the epoch and of the schedule."""
    trained = checkpoint["bundle"].get("num_processes", num_processes)
    if trained != num_processes:
        raise UserError(
            f"the checkpoint was written by a training on {trained} processes, but this one has {num_processes} "
            "(trainer.devices x trainer.num_nodes). Use the same number, or start a new training from its weights with "
            "--init_from."
        )
