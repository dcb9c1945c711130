"""From a checkpoint alone back to a working classifier, without executing anything that is in it."""

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
    """The file itself, or the checkpoint of that name in the run that is named.

    Args:
        path: a file, a run directory, a folder of runs (its newest is meant), or ``last`` (the newest of all).
        name: of the checkpoint in a run directory.
        option: that it was given with.
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
        file: to read.
        option: that it was given with.

    Raises:
        UserError: it holds more than plain data, or it was not written by this project.
    """
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the bytes of a file that is no checkpoint are instructions, which fail in any way
        raise UserError(
            f"{option} is {str(file)!r}, which cannot be read: it is damaged, or holds objects that could run code on "
            "loading. Give a checkpoint that this project's fit has written."
        ) from error
    if not isinstance(checkpoint, dict) or "bundle" not in checkpoint:
        raise UserError(
            f"{option} is {str(file)!r}, which this project did not write: it holds no class names. Give a checkpoint "
            "that fit has written; weights of another program go to --model.weights of a TransferClassifier."
        )
    return checkpoint


def data_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Class and arguments of the data set of the training, as a config has them.

    Raises:
        UserError: the checkpoint names a class that is not in the fixed table.
    """
    config: dict[str, Any] = checkpoint["bundle"]["config"]["data"]
    if config["class_path"] not in DATA_MODULES:
        raise UserError(
            f"the checkpoint's data set is {config['class_path']!r}, a class not known here. "
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
            f"the checkpoint's model is {name!r}, a class not known here. {did_you_mean(name, CLASSIFIERS)}"
        )
    arguments = dict(checkpoint["hyper_parameters"])
    if "weights" in arguments:
        arguments["weights"] = "none"  # the weights are in the checkpoint: nothing to download or look for
    classifier = CLASSIFIERS[name](**arguments)
    classifier.load_state_dict(checkpoint["state_dict"])
    return classifier.eval()
