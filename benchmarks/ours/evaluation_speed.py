"""Trainer.test and Trainer.validate against a plain forward pass over the same images, in turns in one process."""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import warnings
from collections import defaultdict
from pathlib import Path

import torch
from clock import now
from forward_pass import forward_pass
from image_classifier.data.base import EVALUATION_BATCHES
from image_classifier.engine.progress import progress_callback
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from recipe import Recipe, load_recipe

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
NUM_ROUNDS = 5


class LoopClock(Callback):
    """Seconds of the last loop over batches, without what the trainer does before and after it."""

    seconds = 0.0

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds = -now()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds += now()

    on_validation_start = on_test_start
    on_validation_end = on_test_end


def time_forward(recipe: Recipe, split: str) -> float:
    recipe.classifier.to(DEVICE)
    images = recipe.data.split(split).images
    start = now()
    forward_pass(recipe.classifier, images, EVALUATION_BATCHES * recipe.data.batch_size, DEVICE)
    return now() - start


def time_trainer(trainer: Trainer, recipe: Recipe, split: str) -> float:
    evaluate = trainer.test if split == "test" else trainer.validate
    start = now()
    evaluate(recipe.classifier, datamodule=recipe.data, verbose=False)
    return now() - start


def main(project: Path, name: str, data: Path, seed: int, smoke: bool) -> None:
    torch.manual_seed(seed)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    recipe, clock, progress = load_recipe(project, name, data), LoopClock(), progress_callback(True)
    has_bar = isinstance(progress, ProgressBar)
    trainer = Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=has_bar, callbacks=[progress, clock]
    )
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(1 + (1 if smoke else NUM_ROUNDS)):
        for split in ("test", "val"):
            seconds[f"{split}_forward_seconds"].append(time_forward(recipe, split))
            seconds[f"{split}_seconds"].append(time_trainer(trainer, recipe, split))
            seconds[f"{split}_loop_seconds"].append(clock.seconds)
    # The first round warms up, and reads the data: it does not count.
    print(json.dumps({"device": DEVICE.type, **{name: statistics.median(s[1:]) for name, s in seconds.items()}}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="one round")
    arguments = parser.parse_args()
    main(arguments.project, arguments.recipe, arguments.data, arguments.seed, arguments.smoke)
