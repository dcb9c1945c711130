"""Images a second of a steady epoch: memory-mapped cache, packed decoded, packed files, and litdata's own loader.

    python benchmarks/scaling/rates.py --photos data/hymenoptera/train --num_images 2000

One process, the ways in turns (A B C, A B C, ...), no model behind them; medians. Photographs are copied as often as
needed, each copy with bytes of its own behind its end. Ratios are to the memory-mapped path of the same round.
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
from typing import Any

import numpy as np
import torch
from image_classifier.cli import main as run_verb
from image_classifier.data import ImageFolderDataModule, StreamingImageDataModule
from image_classifier.data.decoding import Decoding

BATCH_SIZE = 64
Batches = Callable[[], Iterable[tuple[Any, Any]]]


def copy_photographs(source: Path, root: Path, num_images: int) -> None:
    """``root/<class>/*``, the photographs of each class as often as needed."""
    files = sorted(source.glob("*/*.jpg"))
    for number in range(num_images):
        file = files[number % len(files)]
        target = root / file.parent.name / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes() + number.to_bytes(4, "big"))


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


def ways(size: int, augmentation: Any) -> dict[str, Batches]:
    """Each gives the batches of an epoch."""
    common: dict[str, Any] = {"image_size": size, "batch_size": BATCH_SIZE, "augmentation": augmentation}
    folder = ImageFolderDataModule("photos", cache="disk", **common)
    folder.prepare_data()
    found: dict[str, Batches] = {"mapped": folder.train_dataloader}
    for name in ("decoded", "files"):
        for num_workers in (0, 1, 2):
            data = StreamingImageDataModule(name, num_workers=num_workers, **common)
            loader = data.train_dataloader()  # kept, with its workers, from epoch to epoch, as a training does
            found[f"{name}, {num_workers} workers"] = lambda loader=loader: loader  # type: ignore[misc]
    for name in ("decoded", "files") if augmentation == "none" else ():
        found[f"litdata {name}, 0 workers"] = litdatas_loader(f"{name}/train", Decoding(size, 3, "crop"), 0)
        found[f"litdata {name}, 2 workers"] = litdatas_loader(f"{name}/train", Decoding(size, 3, "crop"), 2)
    return found


def rate(batches: Batches) -> tuple[float, int]:
    start = time.perf_counter()
    num_images = sum(len(images.contiguous()) for images, _ in batches())
    return num_images / (time.perf_counter() - start), num_images


def measure(size: int, augmentation: str, num_rounds: int, only: str) -> dict[str, dict[str, float]]:
    found = {name: way for name, way in ways(size, augmentation).items() if only in name or name == "mapped"}
    rates: dict[str, list[float]] = {name: [] for name in found}
    counts = {}
    for number in range(num_rounds + 1):
        for name, batches in found.items():
            speed, counts[name] = rate(batches)
            if number:  # the first round fills caches and starts workers
                rates[name].append(speed)
    mapped = rates["mapped"]
    return {
        name: {
            "images_per_second": round(statistics.median(speeds)),
            "of_mapped": round(statistics.median(one / other for one, other in zip(speeds, mapped, strict=True)), 2),
            "images_of_an_epoch": counts[name],
        }
        for name, speeds in rates.items()
    }


def main(photos: Path, num_images: int, size: int, num_rounds: int, only: str) -> None:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        copy_photographs(photos, Path("photos"), num_images)
        for options in (["files"], ["decoded", "--decoded", "--image_size", str(size)]):
            start = time.perf_counter()
            run_verb(["pack", "photos", *options, "--val_fraction", "0.02", "--test_fraction", "0.02"])
            print(json.dumps({f"packed {options[0]}, images a second": num_images / (time.perf_counter() - start)}))
        file_bytes = sum(file.stat().st_size for file in Path("photos").rglob("*.jpg")) / num_images
        print(json.dumps({"bytes_of_a_file": round(file_bytes), "image_size": size}))
        for augmentation in ("none", "standard"):
            for name, result in measure(size, augmentation, num_rounds, only).items():
                print(json.dumps({"augmentation": augmentation, "way": name} | result), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder with a subfolder of JPEG files a class")
    parser.add_argument("--num_images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--num_rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="ways whose names hold this text")
    arguments = parser.parse_args()
    main(arguments.photos.resolve(), arguments.num_images, arguments.size, arguments.num_rounds, arguments.only)
