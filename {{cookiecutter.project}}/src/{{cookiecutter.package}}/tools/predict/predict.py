"""Classify images with a checkpoint or an export; needs no config and no training data."""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from io import TextIOWrapper
from itertools import chain
from pathlib import Path

from rich.progress import Progress

from ...engine.checkpoint_predictor import load_predictor
from ...engine.progress import bar_options
from ...engine.recipes import VerbParser
from ...engine.run_directory import PREDICTIONS
from ...errors import UserError
from ...files import replacing, require_output
from ...models import CLASSIFIERS
from ...predictor import BATCH_SIZE, COLUMNS, TOP_K, Prediction, count_images, paths_of, write_csv
from ...values import Count, Probability

MAX_LISTED = 20  # maximum number of classes, and of failed images, that are printed
EPILOGUE = """\
PATH: an image; a folder (all images in it, at any depth); a pattern in quotes, such as 'photos/**/*.jpg'; a CSV file
with a column path (relative to the file); or - to read one path per line from standard input. The order is kept.
Exit status: 0 if all images were classified, 1 if some cannot be read, 2 for wrong arguments.
"""


def build_parser() -> argparse.ArgumentParser:
    parser = VerbParser("predict", __doc__, EPILOGUE, usage="%(prog)s --ckpt RUN_OR_FILE [options] PATH ...")
    add = parser.add_argument
    add("inputs", nargs="+", metavar="PATH", help="image, folder, 'pattern', list.csv or -")
    ckpt_help = "run directory, folder of runs (uses the newest), last, a .ckpt file, or a folder written by export"
    add("--ckpt", "--ckpt_path", type=Path, required=True, metavar="RUN_OR_FILE", help=ckpt_help)
    output_help = f"output file (.csv, .json or .jsonl), or - for CSV to standard output (default: {PREDICTIONS})"
    add("--output", default=PREDICTIONS, metavar="FILE", help=output_help)
    add("--top_k", type=Count, default=TOP_K, help=f"classes per image (default: {TOP_K})")
    abstain_help = "abstain if the top probability is below P"
    add("--abstain_below", type=Probability, default=0.0, metavar="P", help=abstain_help)
    add("--batch_size", type=Count, default=BATCH_SIZE, help=f"images per batch (default: {BATCH_SIZE})")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="auto uses a GPU")
    return parser


def predict(options: Sequence[str]) -> int:
    """Write the table, and print the number of images per class and the failed images; returns 1 with these, else 0."""
    arguments = build_parser().parse_intermixed_args(without_dashes(options))
    inputs, output = arguments.inputs, arguments.output
    if output != "-":
        require_output(Path(output), suffixes=(".csv", ".json", ".jsonl"))
        if os.path.realpath(output) in map(os.path.realpath, inputs):
            raise UserError(
                f"--output is {output!r}, which is also an input and would be overwritten. Give another file."
            )
    num_images = count_images(inputs)
    predictor = load_predictor(arguments.ckpt, CLASSIFIERS, arguments.device, "--ckpt")
    paths = chain.from_iterable(map(paths_of, inputs))
    predictions = predictor.stream(paths, arguments.batch_size, arguments.top_k, arguments.abstain_below)
    num_ranks = min(arguments.top_k, len(predictor.class_names))
    tally = Tally()
    with Progress(**bar_options(), redirect_stdout=False, redirect_stderr=False) as progress:
        counted = progress.track(tally.count(predictions), num_images, description="predicting")
        if output == "-":
            if isinstance(sys.stdout, TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # like the output file
            try:
                write_csv(counted, sys.stdout, num_ranks)
                sys.stdout.flush()
            except BrokenPipeError:  # the reader, such as `head`, closed the pipe; Python would report an error at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            write_table(counted, Path(output), num_ranks)
    tally.report(arguments.abstain_below)
    if output != "-":
        print(output)
    return 1 if tally.num_failed else 0


def without_dashes(options: Sequence[str]) -> list[str]:
    """The options without ``--``, after which all words are paths; argparse takes it only before the first path."""
    end = options.index("--") if "--" in options else len(options)
    paths = options[end + 1 :]
    return [*options[:end], *(f"./{path}" if path.startswith("-") and path != "-" else path for path in paths)]


class Tally:
    """Counts predictions for the summary at the end."""

    def __init__(self) -> None:
        self.num_images = self.num_abstained = self.num_failed = 0
        self.num_of_class: Counter[str] = Counter()
        self.failed: list[Prediction] = []  # the first of them

    def count(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        for prediction in predictions:
            self.num_images += 1
            self.num_abstained += prediction.abstains
            if prediction.class_name is not None:
                self.num_of_class[prediction.class_name] += 1
            if prediction.error is not None:
                self.num_failed += 1
                self.failed += [prediction] if len(self.failed) < MAX_LISTED else []
            yield prediction
        if self.num_images == 0:
            raise UserError("PATH is '-', but standard input is empty. Give one path per line.")

    def report(self, abstain_below: float) -> None:
        """Print the summary to standard error; control characters in names are escaped."""
        shown = self.num_of_class.most_common(MAX_LISTED)
        counts = [(name if name.isprintable() else repr(name), number) for name, number in shown]
        if others := len(self.num_of_class) - len(shown):
            counts += [(f"{others} other classes", self.num_of_class.total() - sum(number for _, number in shown))]
        if abstain_below:
            counts += [(f"no class (highest probability below {abstain_below:g})", self.num_abstained)]
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
        print("\n".join(lines), file=sys.stderr)


def write_table(predictions: Iterable[Prediction], file: Path, num_ranks: int) -> None:
    """Write a table (.csv), an array of one object per image (.json), or one object per line (.jsonl).

    An existing file is replaced at the end. Names that are not valid UTF-8 are written with escapes, which JSON
    restores when it is read. ``num_ranks``, the number of classes per image, sets the columns of a CSV file.
    """
    with replacing(file) as stream:
        if file.suffix.lower() == ".csv":
            write_csv(predictions, stream, num_ranks)
        elif file.suffix.lower() == ".jsonl":
            stream.writelines(f"{as_json(prediction)}\n" for prediction in predictions)
        else:
            stream.write("[")
            for position, prediction in enumerate(predictions):
                stream.write(f"{',' if position else ''}\n{as_json(prediction)}")
            stream.write("\n]\n")


def as_json(prediction: Prediction) -> str:
    """Missing values are null."""
    values = {name: value for name, value in prediction.as_row().items() if name in COLUMNS}
    values["top_k"] = {name: round(share, 6) for name, share in prediction.top_k.items()}
    values["probability"] = prediction.probability and round(prediction.probability, 6)
    return json.dumps(values, ensure_ascii=False)
