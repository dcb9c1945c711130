"""Load of ``deploy/serve.py``: requests a second, latency, 1,000 uploads that it must refuse, and 100 damaged ones.

The network is that of ``folder_cnn`` at 128 pixels, untrained; each request is one photograph, as a file of a form. The
clients are threads of a process on the same cores.

    PYTHONPATH=build/project/image-classifier/src:benchmarks python benchmarks/serving/load.py --data data
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from image_classifier.facts import ImageFacts
from image_classifier.models import CNNClassifier
from torch import Tensor, nn

SIZE, CLIENTS = 128, (1, 8, 32)
NAMES = ["ants", "bees"]
PACKAGES = ("litserve", "fastapi", "uvicorn", "onnxruntime", "pillow")


class Network(nn.Module):
    """The outputs of an exported model."""

    def __init__(self) -> None:
        super().__init__()
        facts = ImageFacts(NAMES, num_channels=3, image_size=SIZE, mean=[0.5] * 3, std=[0.25] * 3)
        self.classifier = CNNClassifier(facts, widths=[16, 32, 64, 128, 128])  # as in the recipe

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.classifier(images)
        return logits, logits.softmax(dim=1)


def load(server: Any, photographs: list[bytes], num_clients: int, seconds: float) -> dict[str, float]:
    """Requests a second and milliseconds, of clients that send the next request after each answer."""
    from deploy.serving import connected, form, read

    turns, end = itertools.count(), time.perf_counter() + seconds
    milliseconds: list[float] = []
    wrong: Counter[str] = Counter()

    def client() -> None:
        with connected(server.port) as connection:
            while (start := time.perf_counter()) < end:
                body, headers = form([("images", photographs[next(turns) % len(photographs)])])
                try:
                    connection.request("POST", "/predict", body, headers)
                    answer = read(connection)
                    if answer.status != 200 or answer.body["predictions"][0]["label"] not in NAMES:
                        wrong[str(answer.status)] += 1
                except OSError as error:
                    wrong[type(error).__name__] += 1
                milliseconds.append(1000 * (time.perf_counter() - start))

    start = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(num_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(milliseconds) / (time.perf_counter() - start)
    cuts = statistics.quantiles(milliseconds, n=100)
    name = f"{num_clients}_clients"
    return {
        f"{name}_requests_per_second": rate,
        f"{name}_p50_milliseconds": cuts[49],
        f"{name}_p95_milliseconds": cuts[94],
        f"{name}_answered_share": 1 - wrong.total() / len(milliseconds),
    }


def hostile(server: Any, good: bytes, number: int, seed: int) -> dict[str, float]:
    """The number of uploads by status; the share that is answered as it must be is 0 if the server is damaged."""
    from deploy.hostile import doubtful_uploads, send, uploads

    expected = server.predict(good).body
    with ThreadPoolExecutor(4) as clients:
        sent = [*uploads(number, seed), *doubtful_uploads(number // 10, seed)]
        answers = list(clients.map(lambda upload: send(server, upload), sent))
    for upload, answer in answers:
        if answer.status not in upload.allowed:
            print(f"{upload.kind}: {answer}", file=sys.stderr)
    num_right = sum(answer.status in upload.allowed for upload, answer in answers)
    statuses = Counter(f"{answer.status // 100}xx" for _, answer in answers)
    is_well = server.process.poll() is None and server.predict(good).body == expected
    return {
        **{f"hostile_{status}": statuses[status] for status in ("2xx", "4xx", "5xx")},
        "hostile_right_share": num_right / len(sent) if is_well else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--project", type=Path, default=Path("build/project/image-classifier"))
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.project / "tests"))
    from deploy.serving import running
    from exported import write_export

    seconds, number = (0.5, 22) if arguments.smoke else (15.0, 1000)
    photographs = [file.read_bytes() for file in sorted((arguments.data / "hymenoptera" / "val").rglob("*.jpg"))]
    figures: dict[str, Any] = {"device": "cpu", "versions": {name: version(name) for name in PACKAGES}}
    with tempfile.TemporaryDirectory() as folder:
        # A program's standard output is its figures; the exporter prints there, too.
        export = write_export(Path(folder, "export"), Network(), SIZE, class_names=NAMES)
        command = [sys.executable, str((arguments.project / "deploy" / "serve.py").resolve()), str(export)]
        with running(command, Path(folder)) as server:
            load(server, photographs, 8, min(seconds, 3))  # warms up
            for num_clients in CLIENTS:
                figures |= load(server, photographs, num_clients, seconds)
            figures |= hostile(server, photographs[0], number, arguments.seed)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
