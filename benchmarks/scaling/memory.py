"""Memory of an epoch over many packed images: does it grow with what was read?

Each image is of random pixels; every one of them must be shown once.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import chdir
from pathlib import Path

import numpy as np
from image_classifier.cli import main as run_verb
from image_classifier.data import StreamingImageDataModule
from image_classifier.engine.batches import TrainingLoader
from photographs import write_noise

NUM_IMAGES, NUM_IMAGES_OF_SMOKE = 50_000, 2_000
SIDE, PACKED_SIDE = 96, 64


def resident_megabytes() -> float:
    """Of this process, now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def main(num_images: int) -> None:
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        write_noise(Path("photos"), num_images, SIDE, SIDE)
        start = time.perf_counter()
        options = ["--val_fraction", "0.01", "--test_fraction", "0.01", "--chunk_megabytes", "8"]
        run_verb(["pack", "photos", "packed", *options])
        packing = time.perf_counter() - start
        data = StreamingImageDataModule("packed", image_size=PACKED_SIDE, batch_size=64, augmentation="none")
        loader = data.train_dataloader()
        assert isinstance(loader, TrainingLoader)
        shown = np.zeros(len(data.split("train")), dtype=int)
        for batch in loader.batch_sampler:
            shown[batch] += 1
        if not (shown == 1).all():
            raise AssertionError(f"{(shown != 1).sum()} of {len(shown)} images are not shown exactly once")
        megabytes, start = [], time.perf_counter()
        for number, _ in enumerate(loader):
            if number % max(1, len(loader) // 10) == 0:
                megabytes.append(resident_megabytes())
        seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "device": "cpu",
                "num_images": len(shown),
                "num_chunks": data.packed.description.splits["train"].num_chunks,
                "first_batch_megabytes": megabytes[0],
                "largest_megabytes": max(megabytes),
                "images_per_second": len(shown) / seconds,
                "packed_images_per_second": num_images / packing,
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", help="not needed: the data set is no recipe's")
    parser.add_argument("--data", help="not needed: the images are generated")
    parser.add_argument("--seed", type=int, default=0, help="not needed: there is one order of noise")
    parser.add_argument("--smoke", action="store_true", help="2,000 images")
    main(NUM_IMAGES_OF_SMOKE if parser.parse_args().smoke else NUM_IMAGES)
