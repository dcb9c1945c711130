"""The commands that are killed, how each goes on, and what must be equal to the uninterrupted one afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from differences import of_caches, of_files, of_reports, of_runs, of_trials
from inputs import CNN, FOLDER, SHORT

Differences = Callable[[Path, Path], list[str]]


@dataclass(frozen=True)
class Subject:
    """A command.

    Attributes:
        name: as the table of results shows it.
        words: its arguments.
        differences: what a folder and that of the uninterrupted command differ in.
        again: arguments with which it goes on; None: the same ones.
        begun: a file or folder that exists as soon as there is something to resume with ``again``.
        share: of all kills, relative to other subjects.
    """

    name: str
    words: list[str]
    differences: Differences
    again: list[str] | None = None
    begun: str = ""
    share: int = 1


def training(name: str, *options: str, share: int = 2) -> Subject:
    return Subject(
        name,
        ["fit", *options, *SHORT, "--run.directory", "run"],
        partial(of_runs, "run"),
        again=["fit", "--resume", "run"],
        begun="run/config.yaml",
        share=share,
    )


DIGITS = ["--config", "configs/digits_mlp.yaml"]
PRETRAINED = [
    *["--model", "TransferClassifier", "--model.backbone", "resnet18", "--model.weights", "none"],
    *["--model.head_epochs", "3", "--trainer.max_epochs", "6"],
]
STREAMED = ["--data", "StreamingImageDataModule", "--data.root", "packed"]
SUBJECTS = [
    training("fit_mlp", *DIGITS, "--trainer.max_epochs", "30", share=3),
    training("fit_cnn_workers", *FOLDER, *CNN, "--trainer.max_epochs", "12", "--data.num_workers", "2", share=3),
    training("fit_transfer", *FOLDER, *PRETRAINED, "--model.unfreeze", "1", "--data.augmentation", "light", share=3),
    training("fit_cached_features", *FOLDER, *PRETRAINED, "--model.unfreeze", "none", "--data.augmentation", "none"),
    training("fit_two_processes", *DIGITS, "--trainer.max_epochs", "20", "--trainer.devices", "2", share=3),
    training(
        "fit_streaming",
        "--data",
        "StreamingImageDataModule",
        "--data.root",
        "packed",
        *CNN,
        "--trainer.max_epochs",
        "12",
    ),
    Subject(
        "cache",
        ["fit", *FOLDER, *SHORT, *CNN, "--data.cache", "disk", "--data.cache_dir", "cache", "--run.directory", "run"],
        lambda part, whole: [*of_caches("cache", part, whole), *of_runs("run", part, whole)],
        again=["fit", "--resume", "run"],
        begun="run/config.yaml",
        share=2,
    ),
    Subject(
        "audit",
        ["audit", "photos", "--output", "audit", "--quarantine", "moved"],
        lambda part, whole: [*of_files("photos", part, whole), *of_files("moved", part, whole)],
    ),
    Subject("split", ["split", "photos"], partial(of_files, "photos")),
    Subject("pack", ["pack", "photos", "out", "--chunk_megabytes", "1"], partial(of_files, "out")),
    Subject("predict", ["predict", "--ckpt", "runs/trained", "photos"], partial(of_files, "predictions.csv")),
    Subject("report", ["report", "runs/trained"], partial(of_reports, "runs/trained/report.html")),
    Subject(
        "export",
        ["export", "--ckpt", "runs/trained", "--out", "exported", "--formats", "onnx"],
        lambda part, whole: [
            difference
            for file in ("model.onnx", "predictor.py")
            for difference in of_files(f"exported/{file}", part, whole)
        ],
    ),
    Subject(
        "tune",
        [
            *["tune", "--sweep", "configs/sweep/digits_cnn.yaml", "--trials", "3", "--trainer.max_epochs", "2"],
            *["--study", "study/study.db", "--tracking.wandb", "off"],
        ],
        partial(of_trials, "study/study.db"),
        share=2,
    ),
]
