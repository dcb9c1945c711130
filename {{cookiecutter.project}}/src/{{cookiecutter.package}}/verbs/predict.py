"""Classify images with a checkpoint; needs no config and no training data."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from ..deployment.image_paths import count_images, image_paths
from ..deployment.prediction_table import Prediction, require_writable, write_csv, write_table
from ..deployment.predictor import BATCH_SIZE, Predictor
from ..errors import UserError
from ..evaluation.predictions import FILE_NAME, TOP_K
from .verb_parser import VerbParser

STANDARD_OUTPUT = "-"
MAX_LISTED = 20  # maximum number of classes, and of failed images, that are printed
EPILOGUE = """\
PATH: an image; a folder (all images in it, at any depth); a pattern in quotes, such as 'photos/**/*.jpg'; a CSV file
with a column path (relative to the file); or - to read one path per line from standard input. The order is kept.
Exit status: 0 if all images were classified, 1 if some cannot be read, 2 for wrong arguments.
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
        help="run directory, folder of runs (uses the newest), last, or a .ckpt file",
    )
    parser.add_argument(
        "--output",
        default=FILE_NAME,
        metavar="FILE",
        help=f"output file (.csv, .json or .jsonl), or - for CSV to standard output (default: {FILE_NAME})",
    )
    parser.add_argument("--top_k", type=positive, default=TOP_K, help=f"classes per image (default: {TOP_K})")
    parser.add_argument(
        "--abstain_below", type=probability, default=0.0, metavar="P", help="abstain if the top probability is below P"
    )
    parser.add_argument(
        "--batch_size", type=positive, default=BATCH_SIZE, help=f"images per batch (default: {BATCH_SIZE})"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="auto uses a GPU")
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
    """Counts predictions for the summary at the end."""

    num_images: int = 0
    num_of_class: Counter[str] = field(default_factory=Counter)
    num_abstained: int = 0
    num_failed: int = 0
    failed: list[Prediction] = field(default_factory=list)  # the first of them

    def count(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        for prediction in predictions:
            self.num_images += 1
            self.num_of_class.update([] if prediction.class_name is None else [prediction.class_name])
            self.num_abstained += prediction.abstained
            self.num_failed += prediction.error is not None
            if prediction.error is not None and len(self.failed) < MAX_LISTED:
                self.failed.append(prediction)
            yield prediction
        if self.num_images == 0:
            raise UserError("PATH is '-', but standard input is empty. Give one path per line.")

    def report(self, arguments: argparse.Namespace) -> None:
        """Print the summary to standard error; control characters in names are escaped."""
        counts = [(printable(name), number) for name, number in self.num_of_class.most_common(MAX_LISTED)]
        if others := len(self.num_of_class) - len(counts):
            counts += [(f"{others} other classes", self.num_of_class.total() - sum(number for _, number in counts))]
        if arguments.abstain_below:
            counts += [(f"no class (highest probability below {arguments.abstain_below:g})", self.num_abstained)]
        if self.num_failed:
            counts += [("failed", self.num_failed)]
        width = max(len(name) for name, _ in counts)
        lines = [f"{self.num_images:,} image{'' if self.num_images == 1 else 's'}"]
        lines += [f"  {name:{width}}  {number:7,}" for name, number in counts]
        if self.num_failed:
            lines += [f"{self.num_failed:,} of {self.num_images:,} failed:"]
            lines += [f"  {prediction.path!r}: {prediction.error}" for prediction in self.failed]
        if self.num_failed > MAX_LISTED:
            lines += [f"  and {self.num_failed - MAX_LISTED:,} more, in the column error"]
        for line in lines:
            print(line, file=sys.stderr)


def printable(name: str) -> str:
    return name if name.isprintable() else repr(name)


def predict(options: Sequence[str]) -> int:
    """Write the table, and print the number of images per class and the failed images.

    Returns:
        the exit status: 1 if an image cannot be read, else 0.

    Raises:
        UserError: the checkpoint, an input or the output cannot be used.
    """
    arguments = build_parser().parse_intermixed_args(options)
    require_output(arguments.output, arguments.inputs)
    num_images = count_images(arguments.inputs)
    predictor = Predictor.from_checkpoint(arguments.ckpt, arguments.device, "--ckpt")
    predictions = predictor.stream(
        image_paths(arguments.inputs), arguments.batch_size, arguments.top_k, arguments.abstain_below
    )
    num_ranks = min(arguments.top_k, predictor.facts.num_classes)
    tally = Tally()
    with progress_bar() as progress:
        counted = progress.track(tally.count(predictions), num_images, description="predicting")
        write(counted, arguments.output, num_ranks)
    tally.report(arguments)
    if arguments.output != STANDARD_OUTPUT:
        print(arguments.output)
    return 1 if tally.num_failed else 0


def require_output(output: str, inputs: Sequence[str]) -> None:
    if output == STANDARD_OUTPUT:
        return
    require_writable(Path(output))
    if os.path.realpath(output) in map(os.path.realpath, inputs):
        raise UserError(f"--output is {output!r}, which is also an input and would be overwritten. Give another file.")


def progress_bar() -> Progress:
    """Progress bar on standard error, if it is a terminal."""
    console = Console(stderr=True)
    return Progress(
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not console.is_terminal,
    )


def write(predictions: Iterable[Prediction], output: str, num_ranks: int) -> None:
    if output != STANDARD_OUTPUT:
        write_table(predictions, Path(output), num_ranks)
        return
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # like the output file
    try:
        write_csv(predictions, sys.stdout, num_ranks)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, closed the pipe; Python would report an error at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
