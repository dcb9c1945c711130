"""The same photographs as in ``peers/image_folder.py`` through the project's data module; no model behind it."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from clock import now
from image_classifier.data import ImageFolderDataModule
from image_classifier.engine.preprocessing import Preprocess
from photographs import link_photographs
from torch import Tensor


def rate(data: ImageFolderDataModule, prepare: Callable[[Tensor], Tensor]) -> float:
    """Images a second over one epoch; what the loader needs before its first batch counts."""
    start = now()
    num_images = sum(len(prepare(images)) for images, _ in data.train_dataloader())
    return num_images / (now() - start)


def main(data_root: Path, seed: int, smoke: bool) -> None:
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = link_photographs(data_root / "hymenoptera", Path(folder))
        data = ImageFolderDataModule(str(root), image_size=224, augmentation="standard", cache="memory")
        normalise = Preprocess(data.facts.mean, data.facts.std)
        num_epochs = 1 if smoke else 5
        first = rate(data, torch.Tensor.contiguous)
        later = [rate(data, torch.Tensor.contiguous) for _ in range(num_epochs)]
        normalised = [rate(data, normalise) for _ in range(num_epochs)]
        num_images = len(data.split("train"))
    print(
        json.dumps(
            {
                "device": "cpu",
                "num_images": num_images,
                "first_epoch_images_per_second": first,
                "later_images_per_second": statistics.median(later),
                "later_normalised_images_per_second": statistics.median(normalised),
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", help="not needed: the data set is no recipe's")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds hymenoptera/train and val")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="one epoch of each kind")
    arguments = parser.parse_args()
    main(arguments.data, arguments.seed, arguments.smoke)
