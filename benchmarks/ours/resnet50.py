"""ResNet-50 from the memory-mapped cache through the real command, in bfloat16, channels_last and compiled.

Made for a GPU. On a CPU, ``--smoke`` shows that it runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from command import fit
from photographs import copy_photographs

NUM_IMAGES, NUM_IMAGES_OF_SMOKE = 8000, 40
BATCH_SIZE, BATCH_SIZE_OF_SMOKE = 256, 4
NUM_EPOCHS, IMAGE_SIZE = 6, 224


def main(project: Path, data: Path, seed: int, smoke: bool) -> None:
    batch_size = BATCH_SIZE_OF_SMOKE if smoke else BATCH_SIZE
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder, "photos")
        copy_photographs(data / "hymenoptera" / "train", photos, NUM_IMAGES_OF_SMOKE if smoke else NUM_IMAGES)
        options = ["--model.backbone", "resnet50", "--model.weights", "none", "--model.head_epochs", "0"]
        options += ["--model.unfreeze", "all", "--data.cache", "disk", "--data.cache_dir", str(Path(folder, "cache"))]
        options += ["--data.image_size", str(IMAGE_SIZE), "--data.batch_size", str(batch_size)]
        options += ["--data.val_fraction", "0.05", "--data.test_fraction", "0.05", "--report", "false"]
        if not smoke:
            options += ["--config", "configs/trainer/gpu.yaml", "--compile", "true"]
            options += ["--trainer.max_epochs", str(NUM_EPOCHS)]
        process = fit(project, "folder_transfer", photos, seed, smoke, "epoch_clock.EpochClock", options)
    shown = process.summary["num_train_images"] // batch_size * batch_size  # the last, smaller batch is left out
    later = process.clock["epoch_seconds"][1:] or process.clock["epoch_seconds"]  # the first one compiles
    print(
        json.dumps(
            {
                "device": process.clock["device"],
                "images_per_second": shown / statistics.median(later),
                "fit_seconds": process.summary["seconds"],
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds hymenoptera/train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="two batches, one epoch")
    arguments = parser.parse_args()
    main(arguments.project, arguments.data, arguments.seed, arguments.smoke)
