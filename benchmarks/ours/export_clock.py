"""An export of the recipe folder_probe: agreement with its checkpoint, size, latency, memory, start without torch."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from command import execute, read
from photographs import link_photographs

NAMES = {"model.onnx": "onnx", "model_int8.onnx": "int8", "model.pt2": "pt2"}
REPEATS = 7
MAX_LOSS = "5"  # points: 153 validation images cannot prove less than 1.74
# What a user of predictor.py does first; importing torch would fail.
FIRST_PREDICTION = """
import sys
sys.modules["torch"] = None
sys.path.insert(0, sys.argv[1])
from predictor import Predictor
assert Predictor(sys.argv[1])(sys.argv[2])[0].error is None
"""


def main(project: Path, data: Path, seed: int, smoke: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run, export = Path(folder, "run"), Path(folder, "export")
        root = link_photographs(data / "hymenoptera", Path(folder, "photos"), {"train": "train", "val": "val"})
        overlays = ["tracking/none", *(["trainer/debug"] if smoke else [])]
        configs = [word for name in ["folder_probe", *overlays] for word in ("--config", f"configs/{name}.yaml")]
        options = ["--data.root", str(root), "--seed_everything", str(seed), "--run.directory", str(run)]
        execute(project, ["fit", *configs, *options, "--model.weights", "package", "--data.cache", "memory"])
        execute(project, ["export", "--ckpt", str(run), "--out", str(export), "--int8", "--max_loss", MAX_LOSS])
        figures: dict[str, object] = {"device": "cpu"}
        for file, proof in read(export / "parity.json")["models"].items():
            name = NAMES[file]
            figures |= {f"{name}_{key}": value for key, value in proof["measures"].items() if key != "threads"}
            figures[f"{name}_megabytes"] = (export / file).stat().st_size / 1e6
            figures[f"{name}_same_class_share"] = proof["num_same_class"] / proof["num_images"]
            figures[f"{name}_largest_difference"] = proof["largest_difference"]
        figures["first_prediction_seconds"] = first_prediction(export, next(root.rglob("*.jpg")))
    print(json.dumps(figures))


def first_prediction(export: Path, image: Path) -> float:
    """Median seconds from the start of Python to the end of the first prediction."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", FIRST_PREDICTION, str(export), str(image)], check=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds hymenoptera/train and val")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="two batches, one epoch")
    arguments = parser.parse_args()
    main(arguments.project, arguments.data, arguments.seed, arguments.smoke)
