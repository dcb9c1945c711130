"""Peak memory of decoding a folder of generated images and serving one epoch of it: does it grow with the folder?"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from image_classifier.data import ImageFolderDataModule
from photographs import write_noise

IMAGE_SIZE = 96
HEIGHT, WIDTH = 120, 160


def peak_megabytes() -> float:
    """Of this process, since it began."""
    unit = 1024 if sys.platform == "linux" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main(num_images: int, seed: int, smoke: bool) -> None:
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_noise(Path("photos"), 100 if smoke else num_images, HEIGHT, WIDTH)
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
