"""A shipped recipe as objects, so that every program measures the same data, network and batch size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from image_classifier.data import DATA_MODULES
from image_classifier.models import CLASSIFIERS


@dataclass(frozen=True)
class Recipe:
    """What ``configs/<name>.yaml`` says, built with random weights: an ImageDataModule and an ImageClassifier."""

    data: Any
    classifier: Any
    max_epochs: int


def load_recipe(project: Path, name: str, data_root: Path) -> Recipe:
    card = yaml.safe_load((project / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
    data = DATA_MODULES[card["data"]["class_path"]](root=str(data_root), **card["data"].get("init_args", {}))
    classifier = CLASSIFIERS[card["model"]["class_path"]](data.facts, **card["model"].get("init_args", {}))
    return Recipe(data, classifier, card["trainer"]["max_epochs"])
