"""Writes the record and the report of a training that has ended."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from ..data import ImageDataModule
from ..evaluation import predictions
from ..evaluation.outputs import SplitOutputs, save_outputs
from ..evaluation.predictions import write_predictions
from ..evaluation.record import read_run
from ..evaluation.results import SplitResults
from ..evaluation.summary import write_summary
from ..models import ImageClassifier
from ..program import program_name
from ..training.fine_tuning import count, count_trainable
from .console import shown

log = logging.getLogger(__name__)


def facts_of(trainer: Trainer, model: ImageClassifier, data: ImageDataModule) -> dict[str, Any]:
    """What ``summary.json`` says beside the test results and the times."""
    best = getattr(trainer.checkpoint_callback, "best_model_score", None)
    return {
        "model": type(model).__name__,
        "num_epochs": trainer.current_epoch,
        "num_train_images": len(data.split("train")),
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
    """Write what is known of a run into its directory."""
    write_predictions(directory / predictions.FILE_NAME, outputs["test"], class_names)
    save_outputs(directory, outputs)
    write_summary(directory, results, facts)


def write_report_or_warn(directory: Path, data: ImageDataModule) -> None:
    """Write the page; a training that is over must not fail by it."""
    run = read_run(directory)
    try:
        from ..evaluation.report.page import FILE_NAME, write_report  # matplotlib, when all else is done

        write_report(run, directory / FILE_NAME, data)
        log.info("report: %s", shown(directory / FILE_NAME))
    except Exception as error:
        again = f"{program_name()} report {shown(directory)}"
        log.warning("The report could not be written (%s: %s). To try again: %s", type(error).__name__, error, again)
