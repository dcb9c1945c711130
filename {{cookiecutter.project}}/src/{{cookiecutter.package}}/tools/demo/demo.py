"""Open a page on this machine that classifies an image; nothing is stored or sent elsewhere."""

import argparse
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ...engine.checkpoint_predictor import load_predictor
from ...engine.checkpoints import find_checkpoint
from ...engine.recipes import VerbParser
from ...errors import UserError
from ...models import CLASSIFIERS
from ...predictor import read_description
from ...values import Port
from .subject import Subject, subject_of_export, subject_of_run

# Read by Gradio when it is imported. Run history would store images in the browser.
PRIVATE = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


def demo(options: Sequence[str]) -> None:
    """Serve the page until Ctrl-C; the last printed line is its address."""
    arguments = build_parser().parse_args(options)
    if find_spec("gradio") is None:
        raise UserError(
            "demo needs Gradio, which is not installed. Install it: uv sync --extra demo, or pip install gradio."
        )
    subject = load_subject(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C, so that uploads are deleted
    try:
        with served(subject, arguments.host, arguments.port) as address:
            print(f"Stop with Ctrl-C. Uploaded images are then deleted.\n{address}", flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        print()


@contextmanager
def served(subject: Subject, host: str = "127.0.0.1", port: int | None = None) -> Iterator[str]:
    """Serve the page from a thread until the end of the block; the value is its address."""
    with tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True) as folder:
        os.environ |= PRIVATE | {"GRADIO_TEMP_DIR": folder}
        from .page import open_page  # imports Gradio, which takes seconds

        page, address = open_page(subject, Path(folder), host, port)
        try:
            yield address
        finally:
            page.close(verbose=False)


def build_parser() -> argparse.ArgumentParser:
    parser = VerbParser("demo", __doc__)
    add = parser.add_mutually_exclusive_group(required=True).add_argument
    ckpt_help = "run directory, folder of runs (uses the newest), last, or a .ckpt file"
    add("--ckpt", "--ckpt_path", type=Path, metavar="RUN_OR_FILE", help=ckpt_help)
    add("--export", type=Path, metavar="DIR", help="folder written by export")
    add = parser.add_argument
    host_help = "address to listen on; 0.0.0.0 lets other machines use the page (default: 127.0.0.1)"
    add("--host", default="127.0.0.1", help=host_help)
    add("--port", type=Port, help="default: the first free one from 7860")
    return parser


def load_subject(arguments: argparse.Namespace) -> Subject:
    if arguments.export is not None:
        description = read_description(arguments.export)
        return subject_of_export(load_predictor(arguments.export, CLASSIFIERS, option="--export"), description)
    file = find_checkpoint(arguments.ckpt, "best", "--ckpt")
    return subject_of_run(load_predictor(file, CLASSIFIERS, option="--ckpt"), file)
