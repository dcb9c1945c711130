"""Images a second of training on one and on two processes, one thread each: how much a second one adds.

The recipe's batch is that of a process, so that each does the same work in a step, and what is lost is lost to the
exchange of gradients and to sharing one machine. "Apart" is two trainings of one process at the same time, which
exchange nothing: what the machine itself gives.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from photographs import copy_photographs

RECIPES = ("fashion_cnn", "folder_cnn")
NUM_PHOTOGRAPHS = 2000  # an epoch of a few hundred would be validation for the most part
CLOCK = Path(__file__).parent / "training_clock.py"
SECONDS, SECONDS_OF_SMOKE = 12.0, 0.1  # of training, in each


def command(project: Path, recipe: str, data: list[str], seed: int, num_processes: int) -> list[str]:
    words = [sys.executable, str(CLOCK), "fit", f"--config={project / 'configs' / recipe}.yaml", *data]
    words += ["--tracking.wandb=off", "--report=false"]
    words += ["--trainer.accelerator=cpu", f"--trainer.devices={num_processes}", "--trainer.max_epochs=1000"]
    return [*words, "--trainer.enable_progress_bar=false", f"--seed_everything={seed}"]


def rate(words: list[str], seconds: float, num_copies: int = 1) -> float:
    """Images a second of all processes together."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment["TRAINING_CLOCK_SECONDS"] = str(seconds)
    with tempfile.TemporaryDirectory() as folder:
        started = [
            subprocess.Popen(
                words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for _ in range(num_copies)
        ]
        return sum(images_a_second(*process.communicate()) for process in started)


def images_a_second(output: str, errors: str) -> float:
    rates = [float(line.split("\t")[1]) for line in output.splitlines() if line.startswith("rate\t")]
    if not rates:
        sys.exit(f"{output}{errors}\nthe training ended before it was measured.")
    return sum(rates)


def data_of(recipe: str, data: Path, folder: Path) -> list[str]:
    """Options; photographs are copied to ``folder``, and decoded into a cache there that all trainings share."""
    if recipe == "fashion_cnn":
        return [f"--data.root={data}"]
    copy_photographs(data / "hymenoptera" / "train", folder / "photos", NUM_PHOTOGRAPHS)
    return [f"--data.root={folder / 'photos'}", f"--data.cache_dir={folder / 'cache'}", "--data.cache=disk"]


def main(project: Path, recipe: str, data: Path, seed: int, smoke: bool) -> None:
    seconds = SECONDS_OF_SMOKE if smoke else SECONDS
    with tempfile.TemporaryDirectory() as folder:
        options = data_of(recipe, data, Path(folder))
        one, two = (command(project, recipe, options, seed, num) for num in (1, 2))
        rates = {"one": rate(one, seconds), "two": rate(two, seconds), "apart": rate(one, seconds, num_copies=2)}
    figures = {f"{name}_images_per_second": value for name, value in rates.items()}
    print(json.dumps({"device": "cpu", **figures}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--recipe", choices=RECIPES, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds FashionMNIST/raw and hymenoptera")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="the first steps only")
    arguments = parser.parse_args()
    main(arguments.project.resolve(), arguments.recipe, arguments.data.resolve(), arguments.seed, arguments.smoke)
