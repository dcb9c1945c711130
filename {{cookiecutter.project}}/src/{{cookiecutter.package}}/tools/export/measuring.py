"""Measures a model file in a process of its own: ``python -m PACKAGE.tools.export.measuring FILE`` prints JSON.

It imports what the file needs and no more, so that load time and memory are those of its users.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BATCHES = {1: 30, 32: 8}  # size of a batch: number of repetitions


def measure(file: Path, num_channels: int, image_size: int) -> dict[str, Any]:
    """Seconds to load, milliseconds per batch (p50 and p95), peak memory in MB, and threads; random images."""
    command = [sys.executable, "-m", __name__, str(file), str(num_channels), str(image_size)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ROOT})
    measured: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return measured


ROOT = os.pathsep.join([str(Path(__file__).resolve().parents[3]), os.environ.get("PYTHONPATH", "")])


def main(name: str, num_channels: str, image_size: str) -> None:
    import numpy as np

    start = time.perf_counter()
    if name.endswith(".onnx"):
        import onnxruntime

        session = onnxruntime.InferenceSession(name, providers=["CPUExecutionProvider"])
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

        def classify(images: Any) -> None:
            session.run(["probabilities"], {"images": images})
    else:
        import torch

        model, threads = torch.export.load(name).module(), torch.get_num_threads()

        def classify(images: Any) -> None:
            with torch.inference_mode():
                model(torch.from_numpy(images))

    shape = (int(num_channels), int(image_size), int(image_size))
    images = np.random.default_rng(0).integers(0, 256, (max(BATCHES), *shape), np.uint8)
    classify(images[:1])
    measured: dict[str, Any] = {"load_seconds": time.perf_counter() - start, "threads": threads}
    for size, repetitions in BATCHES.items():
        times = []
        for _ in range(repetitions):
            begin = time.perf_counter()
            classify(images[:size])
            times.append(1000 * (time.perf_counter() - begin))
        measured |= {f"p50_ms_{size}": float(np.median(times)), f"p95_ms_{size}": float(np.quantile(times, 0.95))}
    print(json.dumps(measured | {"peak_mb": peak_memory()}))


def peak_memory() -> float | None:
    """Peak memory of this process in MB; None where it is not known."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux; resource.getrusage would count the memory of the parent process too
        return None
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(*sys.argv[1:])
