"""The verb ``predict``: what a checkpoint says of images; it needs no config and no training data."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from ..deployment.image_paths import count_images, image_paths
from ..deployment.prediction_table import require_writable, write_csv, write_table
from ..deployment.predictor import BATCH_SIZE, Prediction, Predictor
from ..errors import UserError
from ..evaluation.predictions import FILE_NAME, TOP_K
from .verb_parser import VerbParser

STANDARD_OUTPUT = "-"
MAX_LISTED = 20
EPILOGUE = """\
PATH: an image; a folder (its images, at any depth); a pattern in quotes, such as 'photos/**/*.jpg'; a CSV file with a
column path, relative to the file; or - for a path a line on standard input. The order is kept.
Exit status: 0 every image has a prediction, 1 some cannot be read, 2 wrong arguments.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = VerbParser("predict", __doc__, EPILOGUE, usage="%(prog)s --ckpt RUN_OR_FILE [options] PATH ...")
    parser.add_argument("inputs", nargs="+", metavar="PATH", help="image, folder, 'pattern', list.csv or -")
    parser.add_argument(
        "--ckpt",
        "--ckpt_path",
        type=Path,
        required=True,
        metavar="RUN_OR_FILE",
        help="run directory, a folder of runs for its newest, last, or a .ckpt file",
    )
    parser.add_argument(
        "--output",
        default=FILE_NAME,
        metavar="FILE",
        help=f"what to write: .csv, .json or .jsonl; - writes CSV to standard output (default: {FILE_NAME})",
    )
    parser.add_argument("--top_k", type=positive, default=TOP_K, help=f"classes kept of each image (default: {TOP_K})")
    parser.add_argument(
        "--abstain_below", type=probability, default=0.0, metavar="P", help="name no class less probable than this"
    )
    parser.add_argument(
        "--batch_size", type=positive, default=BATCH_SIZE, help=f"images at once (default: {BATCH_SIZE})"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="auto is the best")
    return parser


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 1 or more")
    return int(text)


def probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number from 0 to 1, for example 0.8")
    return value


@dataclass
class Tally:
    """What is said at the end, counted while predictions go by."""

    num_images: int = 0
    num_abstained: int = 0
    num_failed: int = 0
    failed: list[Prediction] = field(default_factory=list)  # the first few of them

    def count(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        for prediction in predictions:
            self.num_images += 1
            self.num_abstained += prediction.abstained
            self.num_failed += prediction.error is not None
            if prediction.error is not None and len(self.failed) < MAX_LISTED:
                self.failed.append(prediction)
            yield prediction
        if self.num_images == 0:
            raise UserError("PATH is '-', and standard input has no line. Give a path a line.")

    def report(self, arguments: argparse.Namespace) -> None:
        """Print to standard error, names with control characters escaped."""
        lines = []
        if arguments.abstain_below:
            lines = [
                f"{self.num_abstained:,} of {self.num_images:,} abstained: "
                f"their highest probability is below {arguments.abstain_below:g}"
            ]
        if self.num_failed:
            lines += [f"{self.num_failed:,} of {self.num_images:,} have no prediction:"]
            lines += [f"  {prediction.path!r}: {prediction.error}" for prediction in self.failed]
        if self.num_failed > MAX_LISTED:
            lines += [f"  and {self.num_failed - MAX_LISTED:,} more, in the column error"]
        for line in lines:
            print(line, file=sys.stderr)


def predict(options: Sequence[str]) -> int:
    """Write the table, and say which images have no prediction.

    Returns:
        the exit status: 1 where an image cannot be read, else 0.

    Raises:
        UserError: the checkpoint, an input or the output cannot be used.
    """
    arguments = build_parser().parse_intermixed_args(options)
    require_output(arguments.output, arguments.inputs)
    num_images = count_images(arguments.inputs)
    predictor = Predictor.from_checkpoint(arguments.ckpt, arguments.device)
    predictions = predictor.predict(
        image_paths(arguments.inputs), arguments.batch_size, arguments.top_k, arguments.abstain_below
    )
    tally = Tally()
    with progress_bar() as progress:
        counted = progress.track(tally.count(predictions), num_images, description="predicting")
        write(counted, arguments.output)
    tally.report(arguments)
    return 1 if tally.num_failed else 0


def require_output(output: str, inputs: Sequence[str]) -> None:
    if output == STANDARD_OUTPUT:
        return
    require_writable(Path(output))
    if os.path.realpath(output) in map(os.path.realpath, inputs):
        raise UserError(f"--output is {output!r}, which is also an input, and would be written over. Give another.")


def progress_bar() -> Progress:
    """On standard error, where that is a terminal; standard output is left alone."""
    console = Console(stderr=True)
    return Progress(
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not console.is_terminal,
    )


def write(predictions: Iterable[Prediction], output: str) -> None:
    if output != STANDARD_OUTPUT:
        write_table(predictions, Path(output))
        print(output)
        return
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # as the file would be
    try:
        write_csv(predictions, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads, `head` say, has seen enough; Python would complain when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
