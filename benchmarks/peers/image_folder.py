"""Photographs as torchvision tutorials load them: ImageFolder, a DataLoader with 2 workers; no model behind it."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def main(data: Path, seed: int, smoke: bool) -> None:
    torch.manual_seed(seed)
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    dataset = datasets.ImageFolder(str(data / "hymenoptera" / "train"), transform)
    loader = DataLoader(dataset, batch_size=32, shuffle=True, num_workers=2)

    rates = []
    for _ in range(2 if smoke else 6):
        start = time.perf_counter()
        num_images = sum(len(labels) for _, labels in loader)
        rates.append(num_images / (time.perf_counter() - start))
    print(
        json.dumps(
            {
                "device": "cpu",
                "num_images": len(dataset),
                "first_epoch_images_per_second": rates[0],
                "later_images_per_second": statistics.median(rates[1:]),
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds hymenoptera/train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="two epochs")
    arguments = parser.parse_args()
    main(arguments.data, arguments.seed, arguments.smoke)
