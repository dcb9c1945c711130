import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from {{cookiecutter.package}}.predictor import Predictor

from .hostile import JSON, Upload, doubtful_uploads, send, uploads
from .serving import Answer, Server, running

PROGRAM = Path(__file__).parents[2] / "deploy" / "serve.py"
COLOURS = {"red": (230, 20, 20), "green": (20, 220, 30), "blue": (10, 30, 240), "grey": (128, 128, 128)}


def image_of(name: str, kind: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    stream = BytesIO()
    Image.new("RGB", size, COLOURS[name]).save(stream, kind)
    return stream.getvalue()


def command(exported: Path) -> list[str]:
    return [sys.executable, "-B", str(PROGRAM), str(exported)]


@pytest.fixture(scope="module")
def server(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(command(exported), tmp_path_factory.mktemp("server")) as server:
        yield server
    assert server.process.returncode == 0  # of SIGTERM
    assert "Traceback" not in server.log.read_text()


def labels(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    return [prediction["label"] for prediction in answer.body["predictions"]]


def test_answers_as_the_predictor_does(server: Server, exported: Path) -> None:
    rng = np.random.default_rng(0)
    contents = [image_of("red", "JPEG"), image_of("blue", "WEBP"), image_of("grey")]
    for shape in ((300, 500), (90, 60, 3), (64, 64, 4)):  # grey, RGB and transparent
        stream = BytesIO()
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(stream, "PNG")
        contents.append(stream.getvalue())
    answer = server.predict(*contents)
    assert labels(answer)[:2] == ["red", "blue"]
    predictor = Predictor(exported)
    expected = predictor.predict([Image.open(BytesIO(content)) for content in contents])
    for found, prediction in zip(answer.body["predictions"], expected, strict=True):
        assert found["label"] == prediction.label
        assert found["abstains"] == prediction.abstains
        assert found["probability"] == pytest.approx(prediction.probability, abs=1e-3)  # a JPEG's scale may differ
        assert found["top_k"] == pytest.approx(prediction.top_k, abs=1e-3)
    assert answer.body["predictions"][2]["abstains"]
    text = base64.b64encode(contents[0]).decode()
    for body in ({"images": [text, text]}, {"image": text}):
        answer = server.post(json.dumps(body).encode(), JSON)
        assert set(labels(answer)) == {"red"}


def test_health_and_info(server: Server) -> None:
    assert server.get("/health").status == 200
    model = server.get("/info").body["model"]
    assert model["class_names"] == ["blue", "green", "red"]
    assert model["test"] == {"accuracy": 0.95, "low": 0.91, "high": 0.97, "num_images": 153}


def test_hostile_uploads_among_good_ones(server: Server) -> None:
    """Bad requests are refused with a reason, and spoil no good one that is in their batch."""
    names = ["red", "green", "blue"] * 17
    with ThreadPoolExecutor(8) as clients:
        refused = [
            clients.submit(send, server, upload) for upload in [*uploads(50, seed=0), *doubtful_uploads(20, seed=0)]
        ]
        answered = [clients.submit(server.predict, image_of(name)) for name in names]
        for upload, answer in (future.result() for future in refused):
            assert answer.status in upload.allowed, (upload.kind, answer)
            if answer.status != 200:
                assert answer.body["detail"], upload.kind
        assert [labels(future.result()) for future in answered] == [[name] for name in names]
    assert server.process.poll() is None
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("upload", "status", "message"),
    [
        (Upload("", b"{", JSON), 400, "cannot be parsed as application/json. Send images as files of a form"),
        (Upload("", b"", {"Content-Type": "text/plain"}), 415, "the content type is 'text/plain'. Send images"),
        (Upload("", b"[]", JSON), 422, "the JSON is no object"),
        (Upload("", b'{"photo": ""}', JSON), 422, "the request has a field 'photo'"),
        (Upload("", b'{"images": [1]}', JSON), 422, "the field 'images' has a value that is no text"),
        (Upload("", b'{"images": ["*"]}', JSON), 422, "not valid base64"),
        (Upload("", b'{"images": ["QUJD"]}', JSON), 415, "images[0] is not a BMP, GIF, JPEG, PNG, TIFF or WEBP image"),
    ],
)
def test_messages(server: Server, upload: Upload, status: int, message: str) -> None:
    _, answer = send(server, upload)
    assert answer.status == status
    assert message in answer.body["detail"]


def test_clients_lose_nothing(server: Server) -> None:
    names = [("red", "green", "blue")[number % 3] for number in range(120)]
    with ThreadPoolExecutor(32) as clients:
        found = Counter(clients.map(lambda name: (name, *labels(server.predict(image_of(name)))), names))
    assert found == {(name, name): 40 for name in ("red", "green", "blue")}


@pytest.mark.parametrize("child", [-2, -1], ids=["worker", "HTTP process"])
def test_a_dead_process_ends_the_server(exported: Path, tmp_path: Path, child: int) -> None:
    """So that Docker or systemd starts it again."""
    with running(command(exported), tmp_path) as server:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
        if not children.is_file():
            pytest.skip("this system does not list the children of a process")
        time.sleep(1)
        os.kill(int(children.read_text().split()[child]), signal.SIGKILL)
        end = time.monotonic() + 30
        while server.process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        assert server.process.returncode == 1


def test_a_folder_that_is_no_export(tmp_path: Path) -> None:
    result = subprocess.run(command(tmp_path), capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert f"{str(tmp_path)!r} is not an export: it has no predictor.py" in result.stderr
