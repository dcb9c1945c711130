"""The project's own ``fit``, run as a user runs it, with one callback more that keeps time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FitProcess:
    """What a process of ``fit`` left behind.

    Attributes:
        launched: seconds on ``time.perf_counter``, which all processes of a machine share.
        ended: as ``launched``.
        summary: ``summary.json`` of the run.
        clock: what the callback wrote.
    """

    launched: float
    ended: float
    summary: dict[str, Any]
    clock: dict[str, Any]


def fit(
    project: Path, recipe: str, data: Path, seed: int, smoke: bool, callback: str, more: Sequence[str] = ()
) -> FitProcess:
    """Run the recipe in a process of its own.

    Args:
        project: the generated project; its command is the one beside this Python.
        recipe: name of a file in ``configs/``.
        data: folder of the data sets.
        seed: of the training.
        smoke: two batches, one epoch.
        callback: ``module.Class`` in this folder; its argument ``file`` says where to write JSON.
        more: further options of the command.
    """
    with tempfile.TemporaryDirectory() as folder:
        directory, file = Path(folder, "run"), Path(folder, "clock.json")
        overlays = ["tracking/none", *(["trainer/debug"] if smoke else [])]
        configs = [word for name in [recipe, *overlays] for word in ("--config", f"configs/{name}.yaml")]
        options = ["--data.root", str(data), "--seed_everything", str(seed), "--run.directory", str(directory)]
        clock = [f"--trainer.callbacks+={callback}", f"--trainer.callbacks.file={file}"]
        launched = time.perf_counter()
        execute(project, ["fit", *configs, *options, *clock, *more])
        ended = time.perf_counter()
        return FitProcess(launched, ended, read(directory / "summary.json"), read(file))


def execute(project: Path, words: list[str]) -> None:
    command = [str(Path(sys.executable).with_name(project.name)), *words]
    search_path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": search_path}
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{result.stdout}{result.stderr}\n{' '.join(command)}\nended with {result.returncode}.")


def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
