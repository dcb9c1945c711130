"""Images a second of a steady epoch: memory-mapped cache, packed decoded, packed files, and litdata's own loader.

One process, the ways in turns (A B C, A B C, ...), no model behind them; medians. Photographs are copied as often as
needed, each copy with bytes of its own behind its end.

``make bench`` measures the first two ways. For all of them:

    PYTHONPATH=build/project/image-classifier/src:benchmarks python benchmarks/scaling/rates.py --data data --all
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import chdir
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from image_classifier.cli import main as run_verb
from image_classifier.data import ImageFolderDataModule, StreamingImageDataModule
from image_classifier.predictor import Decoding
from photographs import copy_photographs

BATCH_SIZE, IMAGE_SIZE = 64, 224
NUM_ROUNDS = 3
Augmentation = Literal["none", "standard"]
AUGMENTATIONS: tuple[Augmentation, ...] = ("none", "standard")
Batches = Callable[[], Iterable[tuple[Any, Any]]]


def litdatas_loader(folder: str, decoding: Decoding, num_workers: int) -> Batches:
    """The data set and loader of litdata, on the same chunks, decoding each image as it is read."""
    from litdata import StreamingDataLoader, StreamingDataset

    def decode(item: tuple[Any, int]) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(decoding.decode(BytesIO(bytes(item[0])))), item[1]

    def pixels(item: tuple[Any, int]) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(np.frombuffer(item[0], np.uint8).reshape(decoding.shape).copy()), item[1]

    transform = pixels if "decoded" in folder else decode
    dataset = StreamingDataset(folder, shuffle=True, drop_last=False, transform=transform)
    loader: Any = StreamingDataLoader(dataset, batch_size=BATCH_SIZE, num_workers=num_workers)
    return lambda: loader


def ways(augmentation: Augmentation, all_ways: bool) -> dict[str, Batches]:
    """Each gives the batches of an epoch."""
    common: dict[str, Any] = {"image_size": IMAGE_SIZE, "batch_size": BATCH_SIZE, "augmentation": augmentation}
    folder = ImageFolderDataModule("photos", cache="disk", **common)
    folder.prepare_data()
    found: dict[str, Batches] = {"mapped": folder.train_dataloader}
    for name in ("decoded", "files") if all_ways else ("decoded",):
        for num_workers in (0, 1, 2) if all_ways else (0,):
            data = StreamingImageDataModule(name, num_workers=num_workers, **common)
            loader = data.train_dataloader()  # kept, with its workers, from epoch to epoch, as a training does
            found[f"{name} {num_workers} workers"] = lambda loader=loader: loader  # type: ignore[misc]
    for name in ("decoded", "files") if all_ways and augmentation == "none" else ():
        for num_workers in (0, 2):
            decoding = Decoding(IMAGE_SIZE, 3, "crop")
            found[f"litdata {name} {num_workers} workers"] = litdatas_loader(f"{name}/train", decoding, num_workers)
    return found


def rate(batches: Batches) -> float:
    start = time.perf_counter()
    num_images = sum(len(images.contiguous()) for images, _ in batches())
    return num_images / (time.perf_counter() - start)


def measure(augmentation: Augmentation, num_rounds: int, all_ways: bool) -> dict[str, float]:
    """Medians over the rounds after the first, which fills caches and starts workers."""
    found = ways(augmentation, all_ways)
    rounds = [{name: rate(batches) for name, batches in found.items()} for _ in range(num_rounds + 1)]
    return {name: statistics.median(one[name] for one in rounds[1:]) for name in found}


def pack(options: list[str], num_images: int) -> float:
    """Images a second."""
    start = time.perf_counter()
    run_verb(["pack", "photos", *options, "--val_fraction", "0.02", "--test_fraction", "0.02"])
    return num_images / (time.perf_counter() - start)


def main(data: Path, seed: int, num_images: int, num_rounds: int, all_ways: bool) -> None:
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        copy_photographs(data / "hymenoptera" / "train", Path("photos"), num_images)
        figures: dict[str, object] = {"device": "cpu", "num_images": num_images}
        decoded = ["decoded", "--decoded", "--image_size", str(IMAGE_SIZE)]
        figures["pack_decoded_images_per_second"] = pack(decoded, num_images)
        if all_ways:
            figures["pack_files_images_per_second"] = pack(["files"], num_images)
        for augmentation in AUGMENTATIONS:
            for name, images_per_second in measure(augmentation, num_rounds, all_ways).items():
                figures[f"{name.replace(' ', '_')}_{augmentation}_images_per_second"] = images_per_second
    print(json.dumps(figures, indent=2 if all_ways else None))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", help="not needed: the data set is no recipe's")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds hymenoptera/train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num_images", type=int, default=1500)
    parser.add_argument("--all", action="store_true", help="files and litdata's loader too, and workers")
    parser.add_argument("--smoke", action="store_true", help="100 images, one round")
    arguments = parser.parse_args()
    number, rounds = (100, 1) if arguments.smoke else (arguments.num_images, NUM_ROUNDS)
    main(arguments.data.resolve(), arguments.seed, number, rounds, arguments.all)
