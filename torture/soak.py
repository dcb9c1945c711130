"""Train 200 times in one process, as a notebook does, and see whether memory, threads, open files or traces grow.

python torture/soak.py
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import threading
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import astuple, dataclass
from io import StringIO
from pathlib import Path
from statistics import median

from inputs import FOLDER, SHORT, write_photographs

PAGE = os.sysconf("SC_PAGE_SIZE")
MEGABYTE = 2**20
# What each quantity may grow by between the second and the last quarter of the trainings.
ALLOWED_MEGABYTES = 30.0
TRAININGS = {
    "mlp": ["--config", "digits_mlp"],
    "cnn": [*FOLDER, "--model", "CNNClassifier", "--model.widths", "[8]"],
    "features": [
        *[*FOLDER, "--model", "TransferClassifier", "--model.backbone", "resnet18", "--model.weights", "none"],
        *["--model.unfreeze", "none"],
    ],
}


@dataclass(frozen=True)
class Use:
    """What this process holds: resident memory in MiB, threads, open files, and files in the temporary folder."""

    megabytes: float
    threads: int
    open_files: int
    temporary: int


def use_now() -> Use:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / MEGABYTE
    temporary = sum(len(names) for _, _, names in os.walk(tempfile.gettempdir()))
    return Use(resident, threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), temporary)


def soak(trainings: int) -> list[Use]:
    """Train so many times, one kind after the other, in the current directory; returns the use after each."""
    from image_classifier.cli import main

    uses = []
    kinds = list(TRAININGS.values())
    for number in range(trainings):
        options = [*kinds[number % len(kinds)], *SHORT, "--trainer.max_epochs", "1", "--run.directory", f"run-{number}"]
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            main(["fit", *options])
        uses.append(use_now())
        if (number + 1) % max(1, trainings // 20) == 0:
            use = uses[-1]
            counts = f"{use.threads} threads, {use.open_files} open files, {use.temporary} temporary files"
            print(f"{number + 1:4} trainings: {use.megabytes:7.0f} MiB, {counts}", flush=True)
    return uses


def growth(uses: list[Use]) -> Use:
    """Median of the last quarter less that of the second, in which everything is imported and allocated."""
    quarter = max(1, len(uses) // 4)
    parts = [uses[quarter : 2 * quarter], uses[-quarter:]]
    early, late = ([median(values) for values in zip(*map(astuple, part), strict=True)] for part in parts)
    return Use(*(after - before for before, after in zip(early, late, strict=True)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=200, help="how many (default: 200)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, "temporary")
        temporary.mkdir()
        tempfile.tempdir = str(temporary)
        write_photographs(Path(folder, "photos"))
        os.chdir(folder)
        grown = growth(soak(arguments.trainings))
        os.chdir("/")
    print(
        f"growth between the second and the last quarter: {grown.megabytes:.1f} MiB, {grown.threads} threads, "
        f"{grown.open_files} open files, {grown.temporary} temporary files"
    )
    counts = (grown.threads, grown.open_files, grown.temporary)
    return 1 if grown.megabytes > ALLOWED_MEGABYTES or any(count > 0 for count in counts) else 0


if __name__ == "__main__":
    sys.exit(main())
