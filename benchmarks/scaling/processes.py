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

DATA = {"fashion_cnn": ".", "folder_cnn": "hymenoptera/train"}
CLOCK = Path(__file__).parent / "training_clock.py"
SECONDS, SECONDS_OF_SMOKE = 12.0, 0.1  # of training, in each


def command(project: Path, recipe: str, data: Path, seed: int, num_processes: int) -> list[str]:
    words = [sys.executable, str(CLOCK), "fit", f"--config={project / 'configs' / recipe}.yaml"]
    words += [f"--data.root={data / DATA[recipe]}", "--tracking.wandb=off", "--report=false"]
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


def main(project: Path, recipe: str, data: Path, seed: int, smoke: bool) -> None:
    seconds = SECONDS_OF_SMOKE if smoke else SECONDS
    one, two = (command(project, recipe, data, seed, num) for num in (1, 2))
    print(
        json.dumps(
            {
                "device": "cpu",
                "one_images_per_second": rate(one, seconds),
                "two_images_per_second": rate(two, seconds),
                "apart_images_per_second": rate(one, seconds, num_copies=2),
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--recipe", choices=sorted(DATA), required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds FashionMNIST/raw and hymenoptera")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="the first steps only")
    arguments = parser.parse_args()
    main(arguments.project.resolve(), arguments.recipe, arguments.data.resolve(), arguments.seed, arguments.smoke)
