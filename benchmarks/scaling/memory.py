"""Memory of an epoch over many generated images: does it grow with what was read?

    python benchmarks/scaling/memory.py --num_images 50000

Each image is of random pixels; its identity is in its name, and every one of them must be shown once.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import chdir
from io import BytesIO
from pathlib import Path

import numpy as np
from image_classifier.cli import main as run_verb
from image_classifier.data import StreamingImageDataModule
from image_classifier.data.loading import TrainingLoader
from PIL import Image

NUM_PICTURES, NUM_CLASSES, SIDE = 50, 10, 96


def write_photographs(root: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    contents = []
    for _ in range(NUM_PICTURES):
        stream = BytesIO()
        Image.fromarray(generator.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(stream, "JPEG", quality=60)
        contents.append(stream.getvalue())
    for number in range(count):
        file = root / f"class {number % NUM_CLASSES}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(contents[number % NUM_PICTURES] + number.to_bytes(4, "big"))


def resident_megabytes() -> float:
    """Of this process, now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def main(num_images: int) -> None:
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        write_photographs(Path("photos"), num_images)
        start = time.perf_counter()
        options = ["--val_fraction", "0.01", "--test_fraction", "0.01", "--chunk_megabytes", "8"]
        run_verb(["pack", "photos", "packed", *options])
        packing = time.perf_counter() - start
        data = StreamingImageDataModule("packed", image_size=64, batch_size=64, augmentation="none")
        loader = data.train_dataloader()
        assert isinstance(loader, TrainingLoader)
        shown = np.zeros(len(data.split("train")), dtype=int)
        for batch in loader.batch_sampler:
            shown[batch] += 1
        megabytes, served, start = [], 0, time.perf_counter()
        for number, (images, _) in enumerate(loader):
            served += len(images)
            if number % max(1, len(loader) // 10) == 0:
                megabytes.append(round(resident_megabytes()))
        result = {
            "num_images": len(shown),
            "chunks": len(data.chunks("train")),
            "served": served,
            "each_once": bool((shown == 1).all()),
            "resident_megabytes": megabytes,
            "images_per_second": round(served / (time.perf_counter() - start)),
            "packed_images_per_second": round(num_images / packing),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_images", type=int, default=50_000)
    main(parser.parse_args().num_images)
