"""Logs the results of a run to W&B: tables, images, the report and the checkpoints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import ImageDataModule
from ..data.manifest import FILE_NAME as MANIFEST
from ..data.splits import SPLITS
from .outputs import SplitOutputs
from .predictions import TOP_K, rank_columns, top_k
from .record import RunRecord

MIRROR_SECONDS = 300.0  # for hashing checkpoints and, online, waiting for the split's artifact
MAX_MISTAKES = 32
MAX_CLASSES = 100  # in the confusion matrix: W&B draws tables of up to 10,000 rows
RECORD = ("config.yaml", "environment.json", "metrics.csv", "summary.json", "predictions.csv", "report.html")
CHECKPOINTS = ("best.ckpt", "last.ckpt")


def mirror_run(record: RunRecord, run: Any, data: ImageDataModule) -> None:
    """Log a finished run to W&B.

    Args:
        record: record of the run.
        run: an open W&B run.
        data: data set of the run, in memory.
    """
    run.summary.update({name: value for name, value in record.summary.items() if not isinstance(value, list | dict)})
    if notes := record.summary.get("notes"):
        run.summary["notes"] = " ".join(notes)
    run.log(media(record, data))
    split = split_artifact(data)
    # Offline, W&B refuses to say that a run uses an artifact; then the run is what the artifact comes from.
    (run.log_artifact if run.offline else run.use_artifact)(split)
    run.log_artifact(record_artifact(record, run.id))
    if record.config["tracking"].get("log_model", True):
        run.log_artifact(model_artifact(record, run.id), aliases=["best", "latest"])


def media(record: RunRecord, data: ImageDataModule) -> dict[str, Any]:
    """Tables, images and the report, by name."""
    import wandb

    shown: dict[str, Any] = {"test/classes": class_table(record)}
    outputs, names = record.outputs("test"), record.class_names
    if outputs is not None and np.isfinite(outputs.logits).all():
        shown["test/mistakes"] = mistake_table(outputs, names, data)
        if len(names) <= MAX_CLASSES:
            shown["test/confusion"] = wandb.plot.confusion_matrix(
                y_true=outputs.labels.tolist(), preds=outputs.predicted.tolist(), class_names=names, title="test split"
            )
    if (page := record.directory / "report.html").is_file():
        shown["report"] = wandb.Html(page.read_text(encoding="utf-8"), inject=False)
    return shown


def class_table(record: RunRecord) -> Any:
    import wandb

    columns = ["name", "num_images", "precision", "recall", "f1"]
    rows = [[result[column] for column in columns] for result in record.summary["test/classes"]]
    return wandb.Table(columns=[*columns], data=rows)


def mistake_table(outputs: SplitOutputs, class_names: list[str], data: ImageDataModule) -> Any:
    """The most confident mistakes of a test, with their images.

    Args:
        outputs: outputs for the test split.
        class_names: K names.
        data: data set with the images.
    """
    import wandb

    next_ranks = rank_columns(2, min(TOP_K, len(class_names)))
    table = wandb.Table(columns=["image", "path", "true_class", "predicted_class", "probability", *next_ranks])
    positions = confident_mistakes(outputs)
    images = data.split("test").images[torch.from_numpy(positions)]  # uint8 (N, C, H, W)
    for position, image in zip(positions, images, strict=True):
        best = top_k(outputs.probabilities[position], class_names)
        ranked = [value for pair in best.items() for value in pair]
        picture = wandb.Image(image.permute(1, 2, 0).contiguous().numpy())
        true = class_names[outputs.labels[position]]
        table.add_data(picture, outputs.names[position], true, *ranked)
    return table


def confident_mistakes(outputs: SplitOutputs) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Positions of at most ``MAX_MISTAKES`` wrong predictions, the most confident first."""
    surest_first = np.argsort(-outputs.probabilities.max(axis=1), kind="stable")
    return surest_first[~outputs.is_correct[surest_first]][:MAX_MISTAKES]


def split_artifact(data: ImageDataModule) -> Any:
    """The split manifest or, without one, the hash of the splits, as an artifact; equal splits are one version."""
    import wandb

    facts = {"split_hash": data.split_hash, **{f"num_{split}_images": len(data.split(split)) for split in SPLITS}}
    artifact = wandb.Artifact(artifact_name(type(data).__name__, "split"), type="dataset", metadata=facts)
    if (manifest := manifest_of(data)) is not None:
        artifact.add_file(str(manifest), name=MANIFEST)
    else:
        with artifact.new_file("split.json", encoding="utf-8") as stream:
            json.dump(facts, stream, indent=2)
    return artifact


def manifest_of(data: ImageDataModule) -> Path | None:
    """The data set's split manifest, if it has one."""
    root, given = getattr(data, "root", None), getattr(data, "splits", None)
    file = Path(given) if given else None if root is None else Path(root) / MANIFEST
    return file if file is not None and file.is_file() else None


def record_artifact(record: RunRecord, run_id: str) -> Any:
    """The files of the record."""
    return artifact_of(record, "record", run_id, [record.directory / name for name in RECORD])


def model_artifact(record: RunRecord, run_id: str) -> Any:
    """Best and last checkpoint."""
    return artifact_of(record, "model", run_id, [record.directory / "checkpoints" / name for name in CHECKPOINTS])


def artifact_of(record: RunRecord, kind: str, run_id: str, files: list[Path]) -> Any:
    """Files of a run as an artifact; they are uploaded without a local copy."""
    import wandb

    facts = ("recipe", "model", "split_hash", "monitor", "best", "test/acc", "test/f1", "test/loss")
    metadata = {name: record.summary.get(name) for name in facts}
    artifact = wandb.Artifact(artifact_name(record.summary["recipe"], kind, run_id), type=kind, metadata=metadata)
    for file in files:
        if file.is_file():
            artifact.add_file(str(file.absolute()), name=file.name, policy="immutable", skip_cache=True)
    return artifact


def artifact_name(*parts: str) -> str:
    """A name with characters that W&B allows."""
    return re.sub(r"[^\w.-]", "_", "-".join(parts), flags=re.ASCII)[-128:]
