"""The results of a run: writes ``summary.json``, predictions and outputs, and reads the summary again."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from ..errors import UserError
from ..files import write_text
from .contracts import DataModule, count_parameters
from .reading import Amount, Count, Share, Temperature, fields, list_of, read_json
from .results import SplitOutputs, SplitResults, limit_notes, save_outputs, write_predictions
from .run_directory import DAMAGED, PREDICTIONS, SUMMARY
from .seen_images import SeenImages
from .splits import SPLITS


def summary_facts(trainer: Trainer, model: Any, data: DataModule, seen: SeenImages | None) -> dict[str, Any]:
    """Facts of a finished training for ``summary.json``; ``seen`` are the test images that it has used."""
    train, best = data.split("train"), getattr(trainer.checkpoint_callback, "best_model_score", None)
    facts = {
        "model": type(model).__name__,
        "num_epochs": trainer.current_epoch,
        "num_train_images": len(train),
        "train/class_counts": train.labels.bincount(minlength=data.facts.num_classes).tolist(),
        "num_parameters": count_parameters(model),
        "num_trainable_parameters": count_parameters(model, trainable_only=True),
        "monitor": model.monitor,
        "best": None if best is None else best.item(),
        "split_hash": data.split_hash,
        # Restrictions of the results: contaminated test images, partly used splits.
        "notes": [*([seen.sentence] if seen else []), *limit_notes(trainer, data, SPLITS)],
    }
    if seen:
        facts |= {
            "num_test_images_trained_on": seen.num_trained,
            "num_test_images_validated_on": seen.num_validated,
        }
    return facts


def write_results(
    directory: Path, results: SplitResults, facts: dict[str, Any], outputs: dict[str, SplitOutputs]
) -> None:
    """Write predictions and outputs of a run, and ``summary.json``: the results and facts of the run."""
    write_predictions(directory / PREDICTIONS, outputs["test"], [result.name for result in results.classes])
    save_outputs(directory, outputs)
    write_text(directory / SUMMARY, strict_json(facts | results.as_metrics()) + "\n")


def strict_json(value: Any) -> str:
    """Valid JSON: infinite numbers and NaN, which JSON does not have, become null."""
    return json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# What the file may have; ``test/NAME`` of other metrics is a number.
OF_CLASS = fields(name=str, num_images=Count, precision=Share, recall=Share, f1=Share)
SUMMARY_FIELDS = fields(
    recipe_=str,
    seed_=int | bool | None,
    model_=str,
    monitor_=str,
    best_=float | None,
    seconds_=Amount,
    milliseconds_per_image_=Amount,
    num_epochs_=Count,
    num_train_images_=Count,
    num_test_images_=Count,
    num_parameters_=Count,
    num_trainable_parameters_=Count,
    split_hash_=str | None,
    notes_=list[str],
    temperature_=Temperature,
    **{
        "train/class_counts_": list[Count],
        "test/acc_": Share,
        "test/balanced_acc_": Share,
        "test/f1_": Share,
        "test/loss_": float | None,
        "test/classes_": list_of(OF_CLASS),
        "test/confusion_": list[list[Count]],
    },
)


def read_summary(file: Path) -> dict[str, Any]:
    summary: dict[str, Any] = read_json(file, SUMMARY_FIELDS, DAMAGED)
    require_consistent(summary, file)
    return summary


def require_consistent(summary: Mapping[str, Any], file: Path) -> None:
    """Refuse a summary whose lists do not belong together."""
    classes, confusion = summary.get("test/classes", []), summary.get("test/confusion", [])
    metrics = [value for name, value in summary.items() if name.startswith("test/")]
    problem = ""
    if len({result["name"] for result in classes}) != len(classes):
        problem = "test/classes names a class twice"
    elif [sum(row) for row in confusion] != [result["num_images"] for result in classes]:
        problem = "test/classes and test/confusion differ in the number of images"
    elif any(len(row) != len(confusion) for row in confusion):
        problem = "test/confusion must have as many rows as columns"
    elif classes and sum(map(sum, confusion)) != summary.get("num_test_images"):
        problem = f"num_test_images is {summary.get('num_test_images')}, but test/confusion counts others"
    elif any(not (value is None or isinstance(value, int | float | list)) for value in metrics):
        problem = "a metric is not a number"
    if problem:
        raise UserError(f"{str(file)!r} cannot be used: {problem}. {DAMAGED}")
