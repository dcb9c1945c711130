"""Peak memory of decoding a folder of generated images and serving one epoch of it: does it grow with the folder?"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from image_classifier.data import ImageFolderDataModule
from PIL import Image

IMAGE_SIZE = 96
NUM_CLASSES = 10
NUM_PICTURES = 50


def write_photographs(root: Path, count: int) -> None:
    """JPEG files of noise, each with bytes of its own behind its end: a cache that knows contents takes all for new."""
    generator = np.random.default_rng(0)
    contents = []
    for _ in range(NUM_PICTURES):
        stream = BytesIO()
        Image.fromarray(generator.integers(0, 255, (120, 160, 3), dtype=np.uint8)).save(stream, "JPEG", quality=60)
        contents.append(stream.getvalue())
    for number in range(count):
        file = root / f"class {number % NUM_CLASSES}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(contents[number % NUM_PICTURES] + number.to_bytes(4, "big"))


def peak_megabytes() -> float:
    """Of this process, since it began."""
    unit = 1024 if sys.platform == "linux" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main(num_images: int, seed: int, smoke: bool) -> None:
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_photographs(Path("photos"), 100 if smoke else num_images)
        at_start = peak_megabytes()
        start = time.perf_counter()
        data = ImageFolderDataModule("photos", image_size=IMAGE_SIZE, cache="disk")
        data.prepare_data()
        decoded = time.perf_counter()
        num_served = sum(len(labels) for _, labels in data.train_dataloader())
        print(
            json.dumps(
                {
                    "device": "cpu",
                    "num_images": len(data.split("train")) + len(data.split("val")) + len(data.split("test")),
                    "cache_megabytes": sum(file.stat().st_size for file in Path("data").rglob("images.bin")) / 1e6,
                    "megabytes_before": at_start,
                    "peak_megabytes": peak_megabytes(),
                    "decoding_seconds": decoded - start,
                    "served_images_per_second": num_served / (time.perf_counter() - decoded),
                }
            )
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", help="not needed: the data set is no recipe's")
    parser.add_argument("--num_images", type=int, required=True)
    parser.add_argument("--data", help="not needed: the images are generated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="100 images")
    arguments = parser.parse_args()
    main(arguments.num_images, arguments.seed, arguments.smoke)
