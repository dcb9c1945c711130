"""The least that a recipe can cost: its network, batch size and epochs in a bare loop over tensors.

Data, initial network and settings are the recipe's. What trains them is this file alone: no framework, no loader, no
metrics, no validation and no checkpoints.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import torch
from clock import now
from forward_pass import forward_pass
from recipe import Recipe, load_recipe
from torch import Tensor, nn

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
NUM_PASSES = 5


def train(model: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe, num_epochs: int) -> list[float]:
    """Train on uint8 images (N, 1, 28, 28) on the device; seconds of each epoch."""
    batch_size, settings = recipe.data.batch_size, recipe.classifier.optimizer_settings
    num_steps = len(images) // batch_size
    optimizer = torch.optim.AdamW(model.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True)
    warmup = recipe.classifier.schedule_settings.warmup_fraction
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.lr, total_steps=num_steps * num_epochs, pct_start=warmup
    )
    seconds = []
    for _ in range(num_epochs):
        start = now()
        model.train()
        order = torch.randperm(len(images), device=DEVICE)
        for index in order[: num_steps * batch_size].split(batch_size):
            loss = recipe.classifier.loss(model(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds.append(now() - start)
    return seconds


def time_forward(model: nn.Module, images: Tensor, batch_size: int) -> float:
    """Median seconds of a forward pass over all images, after one that is not counted."""
    seconds = []
    for _ in range(NUM_PASSES + 1):
        start = now()
        forward_pass(model, images, batch_size, DEVICE)
        seconds.append(now() - start)
    return statistics.median(seconds[1:])


def require_bare(recipe: Recipe) -> None:
    """Refuse a recipe with more to it than this loop does: the comparison would flatter the loop."""
    classifier = recipe.classifier
    asked = (recipe.data.augmentation, classifier.optimizer_settings.name, classifier.schedule_settings.name)
    if asked != ("none", "adamw", "onecycle"):
        raise ValueError(f"augmentation, optimizer and schedule are {asked}; the bare loop has none, adamw, onecycle.")


def main(project: Path, name: str, data: Path, seed: int, smoke: bool) -> None:
    torch.manual_seed(seed)
    recipe = load_recipe(project, name, data)
    require_bare(recipe)
    train_split, test_split = recipe.data.split("train"), recipe.data.split("test")
    num_images = 8 * recipe.data.batch_size if smoke else len(train_split)
    images, labels = train_split.images[:num_images].to(DEVICE), train_split.labels[:num_images].to(DEVICE)
    test_images, test_labels = test_split.images.to(DEVICE), test_split.labels.to(DEVICE)

    model = nn.Sequential(recipe.classifier.preprocess, recipe.classifier.network).to(DEVICE)
    seconds = train(model, images, labels, recipe, 1 if smoke else recipe.max_epochs)
    logits = forward_pass(model, test_images, recipe.data.batch_size, DEVICE)
    print(
        json.dumps(
            {
                "device": DEVICE.type,
                "fit_seconds": sum(seconds),
                "epoch_seconds": statistics.median(seconds),
                "forward_seconds": time_forward(model, test_images, recipe.data.batch_size),
                "test_accuracy": (logits.argmax(dim=1) == test_labels).double().mean().item(),
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="eight batches, one epoch")
    arguments = parser.parse_args()
    main(arguments.project, arguments.recipe, arguments.data, arguments.seed, arguments.smoke)
