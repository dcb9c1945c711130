"""Writes the record and the report at the end of a training."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from ..data import ImageDataModule
from ..evaluation import predictions
from ..evaluation.outputs import SplitOutputs, save_outputs
from ..evaluation.predictions import write_predictions
from ..evaluation.record import CONFIG, read_run
from ..evaluation.report.curves import facts_of_training
from ..evaluation.report.diagnosis import diagnose
from ..evaluation.results import SplitResults
from ..evaluation.summary import write_summary
from ..models import ImageClassifier
from ..program import program_name
from ..training.fine_tuning import count, count_trainable
from .console import shown

log = logging.getLogger(__name__)


def facts_of(trainer: Trainer, model: ImageClassifier, data: ImageDataModule) -> dict[str, Any]:
    """Content of ``summary.json`` besides test results and times."""
    best = getattr(trainer.checkpoint_callback, "best_model_score", None)
    return {
        "model": type(model).__name__,
        "num_epochs": trainer.current_epoch,
        "num_train_images": len(data.split("train")),
        "train/class_counts": data.split("train").labels.bincount(minlength=data.facts.num_classes).tolist(),
        "num_parameters": count(model),
        "num_trainable_parameters": count_trainable(model),
        "monitor": model.monitor,
        "best": None if best is None else best.item(),
        "split_hash": data.split_hash,
    }


def write_record(
    directory: Path,
    results: SplitResults,
    facts: dict[str, Any],
    outputs: dict[str, SplitOutputs],
    class_names: list[str],
) -> None:
    """Write the results of a run into its directory."""
    write_predictions(directory / predictions.FILE_NAME, outputs["test"], class_names)
    save_outputs(directory, outputs)
    write_summary(directory, results, facts)


def diagnosis_line(directory: Path) -> str:
    """Diagnosis of the learning curves, in one line."""
    run = read_run(directory)
    return f"diagnosis: {diagnose(run.epochs, facts_of_training(run)).line}"


def next_after_divergence(directory: Path, model: ImageClassifier, reason: str) -> str:
    """Message for a training whose loss became infinite or NaN, with the next command to try."""
    config, lr = shlex.quote(shown(directory / CONFIG)), model.optimizer_settings.lr
    command = f"{program_name()} fit --config {config} --model.optimizer.lr {lr / 10:g}"
    return f"diverged: {reason}, so the training was stopped; try a tenth of the learning rate: {command}"


def write_report_or_warn(directory: Path, data: ImageDataModule) -> None:
    """Write the report; an error is logged and does not fail the finished training."""
    run = read_run(directory)
    try:
        from ..evaluation.report.page import FILE_NAME, write_report  # imports matplotlib, after everything else

        write_report(run, directory / FILE_NAME, data)
        log.info("report: %s", shown(directory / FILE_NAME))
    except Exception as error:
        again = f"{program_name()} report {shown(directory)}"
        log.warning("The report could not be written (%s: %s). To try again: %s", type(error).__name__, error, again)
