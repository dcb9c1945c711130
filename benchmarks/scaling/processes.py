"""Images a second of training on one and on two processes, one thread each, in turns: how much a second one adds.

    python benchmarks/scaling/processes.py --project build/project/image-classifier --data data

The recipe's batch is that of a process, so that each does the same work in a step, and what is lost is lost to the
exchange of gradients and to sharing one machine. "apart" is two trainings of one process at the same time, which
exchange nothing: what the machine itself gives.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

RECIPES = {"fashion_cnn": ".", "folder_cnn": "hymenoptera/train"}
CLOCK = Path(__file__).parent / "training_clock.py"


def command(project: Path, recipe: str, data: Path, num: int) -> list[str]:
    words = [sys.executable, str(CLOCK), "fit", f"--config={project / 'configs' / recipe}.yaml"]
    words += [f"--data.root={data / RECIPES[recipe]}", "--tracking.wandb=off", "--report=false"]
    words += ["--trainer.accelerator=cpu", f"--trainer.devices={num}", "--trainer.max_epochs=1000"]
    return [*words, "--trainer.enable_progress_bar=false"]


def rates(project: Path, recipe: str, data: Path, num: int, seconds: float, copies: int = 1) -> float:
    """Images a second of all processes together."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment["TRAINING_CLOCK_SECONDS"] = str(seconds)
    environment["PYTHONPATH"] = str(project / "src")
    with tempfile.TemporaryDirectory() as folder:
        started = [
            subprocess.Popen(
                command(project, recipe, data, num),
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for _ in range(copies)
        ]
        return sum(images_a_second(process.communicate()[0]) for process in started)


def images_a_second(said: str) -> float:
    return sum(float(line.split("\t")[1]) for line in said.splitlines() if line.startswith("rate\t"))


def measure(project: Path, data: Path, turns: int, seconds: float) -> Iterator[dict[str, object]]:
    kinds = {"one": (1, 1), "two": (2, 1), "apart": (1, 2)}
    for recipe in RECIPES:
        measured: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(turns):
            for kind, (num, copies) in kinds.items():
                measured[kind].append(rates(project, recipe, data, num, seconds, copies))
        ratios = [two / one for one, two in zip(measured["one"], measured["two"], strict=True)]
        medians = {kind: round(statistics.median(values)) for kind, values in measured.items()}
        spread = [round(min(ratios), 2), round(max(ratios), 2)]
        yield {"recipe": recipe, **medians, "two / one": round(statistics.median(ratios), 2), "from to": spread}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds FashionMNIST/raw and hymenoptera")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8, help="of training, in each")
    arguments = parser.parse_args()
    for row in measure(arguments.project.resolve(), arguments.data.resolve(), arguments.turns, arguments.seconds):
        print(json.dumps(row), flush=True)
