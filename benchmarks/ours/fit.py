"""A shipped recipe through the real command: what the whole process costs, and where the time goes."""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from command import fit


def main(project: Path, recipe: str, data: Path, seed: int, smoke: bool) -> None:
    process = fit(project, recipe, data, seed, smoke, "epoch_clock.EpochClock")
    clock = process.clock
    print(
        json.dumps(
            {
                "device": clock["device"],
                "process_seconds": process.ended - process.launched,
                "startup_seconds": clock["created"] - process.launched,
                "loading_seconds": clock["train_start"] - clock["created"],
                "training_seconds": clock["train_end"] - clock["train_start"],
                "after_training_seconds": process.ended - clock["train_end"],
                "fit_seconds": process.summary["seconds"],
                "epoch_seconds": statistics.median(clock["epoch_seconds"]),
                "num_epochs": process.summary["num_epochs"],
                "test_accuracy": process.summary["test/acc"],
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="two batches, one epoch")
    arguments = parser.parse_args()
    main(arguments.project, arguments.recipe, arguments.data, arguments.seed, arguments.smoke)
