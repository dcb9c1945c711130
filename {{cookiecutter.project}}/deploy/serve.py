"""Serve an exported classifier over HTTP with LitServe; needs neither torch nor the package.

    python deploy/serve.py export/
    curl --form images=@photo.jpg http://127.0.0.1:8000/predict

POST /predict takes images as files of a form (field ``images``, repeated for several), or as JSON with base64 content:
``{"images": ["..."]}``. GET /health answers 200 when predictions are possible, GET /info names classes and test result.
"""

# No "from __future__ import annotations": LitServe gives the annotation of decode_request to FastAPI.
import argparse
import asyncio
import base64
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeVar

import litserve as ls
import numpy as np
from fastapi import Depends, HTTPException, Request
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from starlette.datastructures import UploadFile

MAX_BYTES = 20 * 2**20  # of a request
MAX_IMAGES = 16  # of a request
MAX_PIXELS = 50_000_000  # of an image; the largest transparent PNG takes 0.8 GB while it is decoded
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # of all that Pillow reads: no PostScript, which is a program
MAX_BATCH = 16  # requests that are classified together
TIMEOUT_SECONDS = 30  # that a request may wait for the model, which then answers 504
FIELDS = {"image", "images"}
USAGE = 'Send images as files of a form in the field \'images\', or as JSON: {"images": ["<base64>"]}.'

Pixels = NDArray[np.uint8]  # (S, S, C)
T = TypeVar("T")
decoders = ThreadPoolExecutor(os.cpu_count())  # its number bounds the memory, too


# From a request to pixels: in threads of the HTTP process. An error here concerns one request. An error in
# decode_request would be LitServe's answer to all requests of a batch.


async def decoded_images(request: Request) -> list[Pixels]:
    """The images of a request, or an HTTPException with a status from 400 to 499."""
    contents = await contents_of(request)
    if not contents:
        raise HTTPException(422, f"the request has no image. {USAGE}")
    if len(contents) > MAX_IMAGES:
        raise HTTPException(413, f"the request has {len(contents)} images; at most {MAX_IMAGES} are allowed.")
    loop, decoding = asyncio.get_running_loop(), request.app.state.decoding
    named = [(content, f"images[{number}]") for number, content in enumerate(contents)]
    return await asyncio.gather(*(loop.run_in_executor(decoders, decode, decoding, *image) for image in named))


async def contents_of(request: Request) -> list[bytes]:
    """The files that the request contains."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            async with request.form(max_files=MAX_IMAGES, max_fields=MAX_IMAGES) as form:
                return [await file.read() for file in values_of(form.multi_items(), UploadFile, "file")]
        if kind == "application/json":
            return [base64_content(text) for text in values_of(items_of(await request.json()), str, "text")]
    except HTTPException:
        raise
    except Exception as error:  # parsers raise errors of many types, and LitServe would answer 500
        raise HTTPException(400, f"the request cannot be parsed as {kind}. {USAGE}") from error
    raise HTTPException(415, f"the content type is {kind!r}. {USAGE}")


def items_of(body: Any) -> list[tuple[str, Any]]:
    """Names and values of a JSON object, where a list has several values, as in a form."""
    if not isinstance(body, dict):
        raise HTTPException(422, f"the JSON is no object. {USAGE}")
    several = ((name, value if isinstance(value, list) else [value]) for name, value in body.items())
    return [(name, value) for name, values in several for value in values]


def values_of(items: Iterable[tuple[str, Any]], expected: type[T], kind: str) -> list[T]:
    values = []
    for name, value in items:
        if name not in FIELDS:
            raise HTTPException(422, f"the request has a field {name[:40]!r}. {USAGE}")
        if not isinstance(value, expected):
            raise HTTPException(422, f"the field {name!r} has a value that is no {kind}. {USAGE}")
        values.append(value)
    return values


def base64_content(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise HTTPException(422, f"an image is not valid base64: {error}.") from error


def decode(decoding: Any, content: bytes, name: str) -> Pixels:
    """uint8 (S, S, C), decoded as in training."""
    try:
        Image.open(BytesIO(content), formats=FORMATS).close()  # reads the header
        return decoding.decode(BytesIO(content))
    except UnidentifiedImageError:
        raise HTTPException(415, f"{name} is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image.") from None
    except Image.DecompressionBombError:
        raise HTTPException(413, f"{name} has more than {MAX_PIXELS:,} pixels.") from None
    except Exception as error:  # decoders raise errors of many types for damaged files
        raise HTTPException(422, f"{name} cannot be decoded: {str(error).split(' <_io')[0]}.") from error


# From pixels to the answer: in a process of its own.


class Classifier(ls.LitAPI):
    """Classifies the images of several requests in one batch."""

    def __init__(self, folder: Path) -> None:
        super().__init__(max_batch_size=MAX_BATCH)
        self.folder = folder

    def setup(self, device: str) -> None:
        self.predictor = predictor_module(self.folder).Predictor(self.folder)

    def decode_request(self, request: Annotated[Any, Depends(decoded_images)]) -> list[Pixels]:  # type: ignore[override]
        return request

    def predict(self, x: list[list[Pixels]]) -> list[list[dict[str, Any]]]:  # type: ignore[override]
        predictions = iter(self.predictor.predict([image for images in x for image in images]))
        return [[as_json(next(predictions)) for _ in images] for images in x]

    def encode_response(self, output: list[dict[str, Any]]) -> dict[str, Any]:  # type: ignore[override]
        return {"predictions": output}


def as_json(prediction: Any) -> dict[str, Any]:
    names = ("label", "probability", "abstains", "top_k", "error")
    return {name: getattr(prediction, name) for name in names}


def predictor_module(folder: Path) -> ModuleType:
    """The ``predictor.py`` of the export."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return import_module("predictor")


# The server.


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve an exported classifier over HTTP.")
    parser.add_argument("export", type=Path, help="folder written by export")
    parser.add_argument(
        "--host", default="127.0.0.1", choices=("127.0.0.1", "0.0.0.0", "::"), help="default: 127.0.0.1"
    )
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    parser.add_argument("--workers", type=int, default=1, help="processes that classify (default: 1)")
    arguments = parser.parse_args()
    folder = arguments.export.resolve()
    if not (folder / "predictor.py").is_file():
        parser.error(
            f"{str(arguments.export)!r} is not an export: it has no predictor.py. Give a folder that export wrote."
        )
    server = build_server(folder, arguments.workers)
    stop_at_signals()
    threading.Thread(target=stop_with_children, daemon=True).start()
    server.run(arguments.host, arguments.port, num_api_servers=1, generate_client_file=False, log_level="warning")
    sys.exit(1 if a_child_died.is_set() else 0)


def build_server(folder: Path, num_workers: int) -> ls.LitServer:
    module = predictor_module(folder)
    description = module.read_description(folder)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns above it, and refuses twice as many pixels
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    server = ls.LitServer(
        Classifier(folder),
        accelerator="cpu",
        workers_per_device=num_workers,
        timeout=TIMEOUT_SECONDS,
        max_payload_size=MAX_BYTES,
        model_metadata={name: description.get(name) for name in ("model", "class_names", "test", "abstain_below")},
    )
    server.app.state.decoding = module.Decoding(**description["decoding"])
    return server


is_stopping, a_child_died = threading.Event(), threading.Event()


def stop_at_signals() -> None:
    """Stop at SIGTERM as at Ctrl-C, which alone makes LitServe end its processes."""
    own = os.getpid()

    def stop(*_: Any) -> None:
        if os.getpid() == own and not is_stopping.is_set():  # the HTTP process, a fork, ends by itself
            is_stopping.set()
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def stop_with_children() -> None:
    """End with status 1 if a process of the server has died, so that Docker or systemd starts all again."""
    known: set[Any] = set()
    while known <= (alive := set(multiprocessing.active_children())):
        known |= alive
        time.sleep(0.2)
    if not is_stopping.is_set():  # stopping ends them too
        a_child_died.set()
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
