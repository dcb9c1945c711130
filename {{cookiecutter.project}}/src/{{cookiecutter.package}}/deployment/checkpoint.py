"""Rebuilds a classifier from a checkpoint alone, without executing code from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch

from ..data import DATA_MODULES
from ..errors import UserError, did_you_mean
from ..evaluation.record import ROOT, find_run
from ..models import CLASSIFIERS, ImageClassifier

Checkpoint = dict[str, Any]


def find_checkpoint(path: Path, name: Literal["best", "last"], option: str = "--ckpt", root: Path = Path(ROOT)) -> Path:
    """The given file, or a checkpoint of the given run.

    Args:
        path: a file, a run directory, a folder of runs (uses the newest), or ``last`` (the newest of all runs).
        name: name of the checkpoint in a run directory.
        option: name of the option, for error messages.
        root: folder of all runs.

    Raises:
        UserError: there is no such file.
    """
    if path.is_file():
        return path
    relative = Path("checkpoints", f"{name}.ckpt")
    if (path / relative).is_file():  # a run of which only the checkpoints were copied
        return path / relative
    file = find_run(path, option, lambda run: (run / relative).is_file(), f"has {relative}", root) / relative
    if not file.is_file():
        raise UserError(
            f"{option} is {str(path)!r}, a run without {str(relative)!r}. Give another run or a .ckpt file."
        )
    return file


def read_checkpoint(file: Path, option: str = "--ckpt") -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Args:
        file: file to read.
        option: name of the option, for error messages.

    Raises:
        UserError: it contains more than plain data, or was not written by this project.
    """
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # reading arbitrary bytes as a pickle can raise any exception
        raise UserError(
            f"{option} is {str(file)!r}, which cannot be read: it is damaged, or contains objects that could run code "
            "on loading. Give a checkpoint written by this project's fit."
        ) from error
    if not isinstance(checkpoint, dict) or "bundle" not in checkpoint:
        raise UserError(
            f"{option} is {str(file)!r}, which this project did not write: it has no class names. Give a checkpoint "
            "written by fit; use weights of other programs with --model TransferClassifier --model.weights FILE."
        )
    return checkpoint


def data_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Class and arguments of the training's data set, in the format of a config.

    Raises:
        UserError: the checkpoint names a class that is not in the fixed table.
    """
    config: dict[str, Any] = checkpoint["bundle"]["config"]["data"]
    if config["class_path"] not in DATA_MODULES:
        raise UserError(
            f"the checkpoint's data set is {config['class_path']!r}, which is not a class of this project. "
            f"{did_you_mean(config['class_path'], DATA_MODULES)}"
        )
    return config


def load_classifier(checkpoint: Checkpoint) -> ImageClassifier:
    """Rebuild the classifier, with its weights, in eval mode.

    Raises:
        UserError: the checkpoint names a class that is not in the fixed table.
    """
    name = checkpoint["bundle"]["model"]
    if name not in CLASSIFIERS:
        raise UserError(
            f"the checkpoint's model is {name!r}, which is not a class of this project. "
            f"{did_you_mean(name, CLASSIFIERS)}"
        )
    arguments = dict(checkpoint["hyper_parameters"])
    if "weights" in arguments:
        arguments["weights"] = "none"  # the weights are in the checkpoint
    classifier = CLASSIFIERS[name](**arguments)
    classifier.load_state_dict(checkpoint["state_dict"])
    return classifier.eval()
