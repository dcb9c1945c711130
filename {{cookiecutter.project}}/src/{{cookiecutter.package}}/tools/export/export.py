"""Write a run's model in formats that other programs read, proven to answer as the checkpoint does."""

import argparse
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ... import predictor as standalone
from ...data import DATA_MODULES
from ...engine.bundles import Checkpoint, data_config, load_classifier, read_checkpoint
from ...engine.calibration import COVERAGES, answers_at
from ...engine.checkpoints import find_checkpoint, require_same_facts
from ...engine.environment import versions
from ...engine.recipes import VerbParser
from ...engine.record import build_data
from ...engine.results import accuracy_interval
from ...engine.splits import Split
from ...engine.summary import strict_json
from ...errors import UserError, shown
from ...files import require_folder, write_text, writing
from ...models import CLASSIFIERS, ImageClassifier
from ...predictor import DESCRIPTION, FORMAT, INT8_MODEL, MODEL, digest_of
from ...values import Factor, NonNegative
from .browser_page import find_runtime, write_browser_page
from .card import Row, table_rows, write_card
from .graph import cpu_flags, trace, write_int8, write_onnx, write_pt2
from .measuring import measure
from .proof import TIE, TOLERANCE, Classify, PairedLoss, Proof, compare, open_predictor, paired_loss, prove, refer

PT2_MODEL, PARITY, PREDICTOR, PAGE = "model.pt2", "parity.json", "predictor.py", "classify.html"
REQUIREMENTS = "requirements.txt"
FORMATS = ("onnx", "pt2")
NUM_CALIBRATION_IMAGES = 200
SPLITS: tuple[Split, ...] = ("val", "test")

log = logging.getLogger(__name__)


def export(options: Sequence[str]) -> int:
    """Write the folder, print a table of its models, and return 1 if a model was refused, else 0."""
    arguments = parse(options)
    require_packages(arguments)
    file = find_checkpoint(arguments.ckpt, "best")
    checkpoint = read_checkpoint(file)
    out = arguments.out or (file.parent.parent if file.parent.name == "checkpoints" else Path()) / "export"
    require_new(out, overwrite=arguments.overwrite)
    runtime = find_runtime(arguments.ort_web) if arguments.page else None
    classifier = load_classifier(checkpoint, CLASSIFIERS)
    data = open_data(checkpoint, arguments.data_root)
    require_same_facts(classifier.facts, data.facts)
    with new_folder(out) as folder:
        exported = Export(folder, checkpoint, classifier, data)
        exported.describe_results(arguments.coverage)
        exported.write_models(arguments.formats)
        if arguments.int8 and MODEL in exported.rows:
            exported.write_int8(arguments.max_loss)
        if runtime is not None and MODEL in exported.rows:
            write_browser_page(folder, folder / PAGE, runtime)
        exported.finish()
    print_table(exported)
    for refusal in exported.refusals:
        log.error(refusal)
    print(shown(out))
    return 1 if exported.refusals else 0


def parse(options: Sequence[str]) -> argparse.Namespace:
    parser = VerbParser("export", __doc__, EPILOGUE)
    add = parser.add_argument
    ckpt_help = "run directory (uses its best checkpoint), folder of runs (uses the newest), last, or a .ckpt file"
    add("--ckpt", "--ckpt_path", type=Path, required=True, metavar="RUN_OR_FILE", help=ckpt_help)
    add("--out", type=Path, metavar="DIR", help="folder to write (default: RUN/export)")
    add("--overwrite", action="store_true", help="replace an earlier export in that folder")
    add("--formats", type=formats, default=list(FORMATS), help="onnx, pt2 or both (default: onnx,pt2)")
    add("--int8", action="store_true", help="also write a quantized ONNX model, if its loss of accuracy is small")
    loss_help = "loss that int8 may have, in points (default: 1)"
    add("--max_loss", type=NonNegative, default=1.0, metavar="POINTS", help=loss_help)
    coverage_help = "share of the validation images above the threshold for abstaining (default: 0.95)"
    add("--coverage", type=Factor, default=0.95, metavar="SHARE", help=coverage_help)
    add("--page", action="store_true", help=f"also write {PAGE}, which classifies images in a browser, offline")
    web_help = "npm package onnxruntime-web for --page, as a folder or .tgz (default: npm fetches it)"
    add("--ort_web", type=Path, metavar="PATH", help=web_help)
    add("--data_root", type=Path, metavar="DIR", help="folder of the images, if it has moved since the training")
    return parser.parse_args(options)


EPILOGUE = """\
The folder needs neither this project nor torch: python export/predictor.py export/ photos/ --out predictions.csv
A model is written only if it names the same class as the checkpoint for every validation and test image, and no
probability differs by more than 0.0001. parity.json has the proof.
Exit status: 0, or 1 if a model was refused, or 2 for wrong arguments.
"""


def formats(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= set(FORMATS):
        raise argparse.ArgumentTypeError(f"{text!r} must be onnx, pt2 or onnx,pt2")
    return names


def require_packages(arguments: argparse.Namespace) -> None:
    """Refuse options that need ``onnx`` among the formats, and formats whose packages are not installed."""
    if "onnx" in arguments.formats:
        missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
        if missing:
            raise UserError(
                f"export needs {', '.join(missing)}, not installed here. Install: uv sync --extra export, or pip "
                f"install {' '.join(missing)}. --formats pt2 needs none of them."
            )
    elif arguments.int8 or arguments.page:
        option = "--int8" if arguments.int8 else "--page"
        raise UserError(f"{option} needs model.onnx, but --formats is {','.join(arguments.formats)}. Add onnx to it.")


def open_data(checkpoint: Checkpoint, root: Path | None) -> Any:
    """The data set of the training, with the same splits."""
    config = data_config(checkpoint, DATA_MODULES)
    arguments = dict(config.get("init_args", {}))
    if root is not None:
        if "root" not in arguments:
            raise UserError(f"--data_root is {str(root)!r}, but {config['class_path']} reads no folder. Leave it out.")
        arguments["root"] = str(root)
    data = build_data(config | {"init_args": arguments}, DATA_MODULES, "the checkpoint")
    data.prepare_data()
    if data.split_hash != checkpoint["bundle"].get("split_hash"):
        raise UserError(
            "the images of the run have changed since its training, so an export cannot be compared with it. Restore "
            "them, give their folder with --data_root, or train again."
        )
    return data


def require_new(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder with files, unless they are an export to replace; creates nothing."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out is {str(out)!r}, which is a file. Give a folder.")
    require_folder(out, "--out")
    if out.is_dir() and any(out.iterdir()):
        is_export = any((out / name).is_file() for name in (DESCRIPTION, PARITY))
        if not is_export:
            raise UserError(f"--out is {str(out)!r}, a folder with other files. Give a new or empty folder.")
        if not overwrite:
            raise UserError(f"--out is {str(out)!r}, an earlier export. Replace it with --overwrite, or give another.")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder that becomes ``out`` at the end of the block; after an error nothing has changed."""
    temporary, old = (out.with_name(f".{out.name}.{os.getpid()}.{kind}") for kind in ("tmp", "old"))
    try:
        with writing("--out", out):
            temporary.mkdir(parents=True)
        yield temporary
        with writing("--out", out):
            if out.is_dir():
                out.rename(old)
            temporary.rename(out)
    finally:
        if old.is_dir() and not out.is_dir():  # the second renaming failed
            old.rename(out)
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


class Export:
    """The folder that is being written."""

    def __init__(self, folder: Path, checkpoint: Checkpoint, classifier: ImageClassifier, data: Any) -> None:
        bundle = checkpoint["bundle"]
        self.folder, self.classifier, self.data, self.facts = folder, classifier, data, classifier.facts
        self.temperature = float(bundle.get("temperature", 1.0))
        self.references = {split: refer(classifier, data, split, self.temperature) for split in SPLITS}
        self.rows: dict[str, Row] = {}
        self.refusals: list[str] = []
        self.parity: dict[str, Any] = {}
        shutil.copyfile(str(standalone.__file__), folder / PREDICTOR)
        self.predictor = open_predictor(folder)
        self.description: dict[str, Any] = {
            "format": FORMAT,
            "model": bundle["model"],
            "class_names": self.facts.class_names,
            "decoding": {name: getattr(self.facts, name) for name in ("image_size", "num_channels", "fit")},
            "temperature": self.temperature,
            "abstain_below": 0.0,
            "split_hash": bundle["split_hash"],
            "versions": versions(),
            "trained_with": bundle.get("versions", {}),
            "git_commit": bundle.get("git_commit"),
            "files": {},
        }

    def describe_results(self, coverage: float) -> None:
        """Add the test result, and the thresholds below which the model abstains."""
        val, test = (self.references[split].outputs for split in SPLITS)
        low, high = accuracy_interval(test.is_correct)
        accuracy = float(test.is_correct.mean())
        self.description["test"] = {"accuracy": accuracy, "low": low, "high": high, "num_images": len(test)}
        coverages = sorted({*COVERAGES[1:], coverage} - {1.0}, reverse=True)
        answers = [answers_at(val, test, asked) for asked in coverages]
        names = {"asked_coverage": "coverage"} | {name: name for name in ("threshold", "num_images", "accuracy")}
        self.description["thresholds"] = [{new: getattr(row, old) for old, new in names.items()} for row in answers]
        self.description["abstain_below"] = answers_at(val, test, coverage).threshold

    def write_models(self, asked: Sequence[str]) -> None:
        program = trace(self.classifier, self.temperature)
        if "onnx" in asked:
            write_onnx(program, self.folder / MODEL)
            self.note_file(MODEL)
            self.keep_if_proven(MODEL, self.predictor.Predictor(self.folder).classify)
        if "pt2" in asked:
            write_pt2(program, self.folder / PT2_MODEL)
            self.note_file(PT2_MODEL)
            module = torch.export.load(self.folder / PT2_MODEL).module()
            self.keep_if_proven(PT2_MODEL, lambda images: module(torch.from_numpy(images))[1].detach().numpy())

    def note_file(self, name: str) -> None:
        """Write the digest of a file into ``model.json``, which the predictor checks."""
        self.description["files"][name] = digest_of(self.folder / name)
        write_json(self.folder / DESCRIPTION, self.description)

    def keep_if_proven(self, name: str, classify: Classify) -> None:
        proof = prove(name, self.predictor, self.folder, classify, self.references, self.facts)
        self.parity[name] = asdict(proof)
        if proof.failures:
            self.refuse(name, ". ".join(proof.failures))
        else:
            self.rows[name] = Row(name, *self.measures_of(name), proof)

    def refuse(self, name: str, reason: str) -> None:
        """Delete a model that is wrong."""
        self.refusals.append(f"{name} is not exported: {reason}.")
        (self.folder / name).unlink()
        del self.description["files"][name]

    def measures_of(self, name: str) -> tuple[float, dict[str, Any]]:
        measures = measure(self.folder / name, self.facts.num_channels, self.facts.image_size)
        self.parity[name]["measures"] = measures
        return (self.folder / name).stat().st_size / 1e6, measures

    def write_int8(self, max_loss: float) -> None:
        """Quantize, and keep the model if the validation images bound its loss; the test images are shown only."""
        train = self.data.split("train").images
        index = torch.linspace(0, len(train) - 1, min(len(train), NUM_CALIBRATION_IMAGES)).round().long()
        has_vnni = any("vnni" in flag for flag in cpu_flags())
        write_int8(self.folder / MODEL, self.folder / INT8_MODEL, train[index].numpy(), reduce_range=not has_vnni)
        self.note_file(INT8_MODEL)
        classify = self.predictor.Predictor(self.folder, int8=True).classify
        decoding = self.predictor.Decoding(**self.description["decoding"])
        proof, losses = Proof(INT8_MODEL), {}
        for split, reference in self.references.items():
            predicted = compare(proof, self.predictor, decoding, classify, reference)
            losses[split] = paired_loss(predicted, reference.outputs)
        val, bound = losses["val"], 100 * losses["val"].upper_bound()
        self.parity[INT8_MODEL] = {
            "max_loss_points": max_loss,
            "upper_bound_points": bound,
            "reduce_range": not has_vnni,
            "num_calibration_images": len(index),
            "num_images": proof.num_images,
            "num_same_class": proof.num_same_class,
            "largest_difference": proof.largest_difference,
            **{split: asdict(loss) for split, loss in losses.items()},
        }
        if bound > max_loss:
            best = 100 * PairedLoss(val.num_images, 0, 0).upper_bound()
            self.refuse(
                INT8_MODEL,
                f"of {val.num_images:,} validation images it loses {val.num_lost} and wins {val.num_won}, so its loss "
                f"of accuracy is at most {bound:.2f} points with 95 % confidence, and {max_loss:g} are allowed. With "
                f"so many images the bound is never below {best:.2f}: use more validation images, or allow more with "
                "--max_loss",
            )
        else:
            self.rows[INT8_MODEL] = Row(INT8_MODEL, *self.measures_of(INT8_MODEL), proof, losses)

    def finish(self) -> None:
        """Write the files around the models; without a model, only the proof stays."""
        shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)  # of the import of predictor.py
        write_json(self.folder / PARITY, {"tolerance": TOLERANCE, "tie": TIE, "models": self.parity})
        if MODEL in self.rows:
            requirements = [f"{name}=={version(name)}\n" for name in ("numpy", "onnxruntime", "pillow")]
            write_text(self.folder / REQUIREMENTS, "".join(requirements))
        else:
            (self.folder / PREDICTOR).unlink()  # it needs that model
        if not self.rows:
            (self.folder / DESCRIPTION).unlink(missing_ok=True)
            return
        write_card(self.folder / "README.md", self.description, self.references, self.rows)
        for name in (PREDICTOR, REQUIREMENTS, "README.md", PAGE):
            if (self.folder / name).is_file():
                self.description["files"][name] = digest_of(self.folder / name)
        write_json(self.folder / DESCRIPTION, self.description)


def write_json(file: Path, content: dict[str, Any]) -> None:
    write_text(file, strict_json(content))


def print_table(exported: Export) -> None:
    """A column for each model: size, agreement with the checkpoint, accuracy, speed and memory."""
    rows = list(exported.rows.values())
    if not rows:
        return
    test = exported.description["test"]
    table = Table(title=f"{exported.description['model']}, test accuracy {test['accuracy']:.2%}")
    table.add_column("")
    for row in rows:
        table.add_column(row.file, justify="right")
    for heading, cells in table_rows(rows):
        table.add_row(heading, *cells)
    console = Console()
    console.print(table)
    threads = rows[0].measures["threads"]
    console.print(f"{threads} threads, CPU flags: {', '.join(cpu_flags()) or 'unknown'}", soft_wrap=True)
