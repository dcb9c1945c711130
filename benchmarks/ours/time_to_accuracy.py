"""A shipped recipe through the real command: how long it trains until the test accuracy passes a target."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from command import fit


def main(project: Path, recipe: str, target: float, data: Path, seed: int, smoke: bool) -> None:
    process = fit(project, recipe, data, seed, smoke, "accuracy_clock.AccuracyClock")
    history = process.clock["history"]
    print(
        json.dumps(
            {
                "device": process.clock["device"],
                "history": history,
                "seconds_to_target": next((seconds for seconds, accuracy in history if accuracy > target), None),
                "num_epochs": len(history),
                "test_accuracy": process.summary["test/acc"],
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--target", type=float, default=0.978, help="share of the test images")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="two batches, one epoch")
    options = parser.parse_args()
    main(options.project, options.recipe, options.target, options.data, options.seed, options.smoke)
