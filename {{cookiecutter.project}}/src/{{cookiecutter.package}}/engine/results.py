"""Outputs and results of a model on a split."""

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from ..errors import UserError
from ..files import replacing
from ..predictor import TOP_K, likeliest, path_cell, rank_columns
from .contracts import DataModule
from .processes import gather_in_order
from .run_directory import OUTPUTS
from .splits import SPLIT_NAMES, Split

CONFIDENCE = 0.95


def accuracy_interval(is_correct: NDArray[np.bool_], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of an accuracy, in 0 to 1, from (N,), N > 0, whether each image is classified correctly.

    Wilson, 1927; recommended by Brown, Cai and DasGupta, 2001. Both ends rise with every correctly classified image, so
    a result with a mistake never has a higher lower end than one without.
    """
    from scipy.stats import binomtest  # imported here, because it is slow and training does not need it

    num, correct = len(is_correct), int(np.count_nonzero(is_correct))
    if num == 0:
        raise ValueError("is_correct is empty: an accuracy needs at least one image.")
    interval = binomtest(correct, num).proportion_ci(confidence, method="wilson")
    # The ends 0 and 1 are exact, without rounding.
    return float(interval.low) if correct else 0.0, float(interval.high) if correct < num else 1.0


@dataclass(frozen=True)
class SplitOutputs:
    """Outputs for the N images of one split."""

    names: list[str]
    labels: NDArray[np.int64]  # (N,), the true classes
    logits: NDArray[np.float32]  # (N, K)
    digests: NDArray[np.int64] | None = None  # (N,), of the image contents, if available
    temperature: float = 1.0  # divides the logits in probabilities; 1 does not calibrate them

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Softmax of the logits, divided by the temperature: (N, K)."""
        return (torch.from_numpy(self.logits) / self.temperature).softmax(dim=1).numpy()

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class with the highest logit: (N,)."""
        return self.logits.argmax(axis=1)

    @property
    def is_correct(self) -> NDArray[np.bool_]:
        """Whether the prediction is the true class: (N,)."""
        return self.predicted == self.labels


def outputs_of(data: DataModule, split: Split, parts: Sequence[Tensor], trainer: Trainer) -> SplitOutputs:
    """Gather the outputs of all processes from the logits (B, K) of this process's batches, in order."""
    images, digests = data.split(split), data.digests(split)
    logits = gather_in_order(torch.cat([part.float().cpu() for part in parts]), trainer)
    num = len(logits)  # fewer than the split has if the trainer limits batches
    known = None if digests is None else digests[:num].numpy()
    return SplitOutputs(list(images.names[:num]), images.labels[:num].numpy(), logits.numpy(), known)


def predict_split(trainer: Trainer, model: Any, data: DataModule, split: Split) -> tuple[SplitOutputs, float]:
    """The outputs, and the milliseconds per image: from the decoded split, in batches, on this device."""
    loader, start = data.evaluation_loader(split), time.perf_counter()
    batches: Any = trainer.predict(model, loader)
    seconds = time.perf_counter() - start
    outputs = outputs_of(data, split, batches, trainer)
    return outputs, 1000 * seconds / max(1, len(outputs))


def save_outputs(directory: Path, outputs: dict[str, SplitOutputs]) -> None:
    """Write ``outputs.npz``: for each split, the fields of ``SplitOutputs``, such as ``test_logits``."""
    columns = {f"{split}_{name}": column for split, found in outputs.items() for name, column in vars(found).items()}
    arrays: dict[str, Any] = {name: np.array(column) for name, column in columns.items() if column is not None}
    with replacing(directory / OUTPUTS, "wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_outputs(directory: Path, split: str, remedy: str) -> SplitOutputs | None:
    """Outputs of a split, from a run directory; None if the run did not reach its test."""
    file = directory / OUTPUTS
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            fields = SplitOutputs.__dataclass_fields__
            found: dict[str, Any] = {name: arrays[f"{split}_{name}"] for name in fields if f"{split}_{name}" in arrays}
    except Exception as error:  # of damaged bytes, zipfile, zlib and numpy raise many kinds
        raise UserError(f"{str(file)!r} cannot be read ({error or type(error).__name__}). {remedy}") from error
    if not found:
        return None
    found = {"temperature": np.array(1.0), "digests": None} | found  # not in the files of older versions
    if missing := fields.keys() - found.keys():
        raise UserError(f"{str(file)!r} cannot be used: {split}_{min(missing)} is missing. {remedy}")
    if problem := problem_of(**found):
        raise UserError(f"{str(file)!r} cannot be used: {split}_{problem}. {remedy}")
    return SplitOutputs(**found | {"names": found["names"].tolist(), "temperature": float(found["temperature"])})


def problem_of(
    names: NDArray[Any],
    labels: NDArray[Any],
    logits: NDArray[Any],
    digests: NDArray[Any] | None,
    temperature: NDArray[Any],
) -> str:
    """What is wrong with the arrays of ``SplitOutputs``; empty if they are right."""
    num = len(labels) if labels.ndim == 1 else 0
    if labels.dtype != np.int64 or num == 0:
        return f"labels is {labels.dtype} {labels.shape}, expected at least one int64"
    if logits.dtype != np.float32 or logits.ndim != 2 or len(logits) != num:
        return f"logits is {logits.dtype} {logits.shape}, expected float32 ({num}, K)"
    if names.dtype.kind != "U" or names.shape != (num,):
        return f"names is {names.dtype} {names.shape}, expected {num} texts"
    if digests is not None and (digests.dtype != np.int64 or digests.shape != (num,)):
        return f"digests is {digests.dtype} {digests.shape}, expected {num} int64"
    if not 0 <= labels.min() <= labels.max() < logits.shape[1]:
        return f"labels has {labels.min()} to {labels.max()}, and logits has {logits.shape[1]} classes"
    if temperature.dtype.kind != "f" or temperature.shape or not 1e-3 <= temperature <= 1e3:
        return f"temperature is {temperature}, expected one number above 0"
    return ""


def write_predictions(file: Path, outputs: SplitOutputs, class_names: Sequence[str]) -> None:
    """Write one row per image, in the order of the split, with the most probable classes in descending order.

    ``temperature`` divided the logits; it is 1 if the probabilities are not calibrated.
    """
    columns = ("path", "true_class", "predicted_class", "probability")
    with replacing(file) as stream:
        writer = csv.writer(stream)
        writer.writerow([*columns, *rank_columns(2, min(TOP_K, len(class_names))), "temperature"])
        for name, label, shares in zip(outputs.names, outputs.labels, outputs.probabilities, strict=True):
            best = likeliest(shares, class_names).items()
            ranked = [cell for predicted, share in best for cell in (predicted, f"{share:.6f}")]
            writer.writerow([path_cell(name), class_names[label], *ranked, f"{outputs.temperature:.6f}"])


@dataclass(frozen=True)
class ClassResult:
    """Results of one class: ``num_images`` is its support; the others are shares from 0 to 1."""

    name: str
    num_images: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class SplitResults:
    """Results of a model on its test split."""

    metrics: dict[str, float]  # all scalar metrics of the test by name, such as test/acc
    classes: list[ClassResult]  # in the order of the labels
    confusion: list[list[int]]  # (K, K) counts; rows are true classes, columns predicted ones

    @property
    def num_images(self) -> int:
        return sum(result.num_images for result in self.classes)

    def as_metrics(self) -> dict[str, Any]:
        """Metrics by name, for ``summary.json``."""
        return {
            **self.metrics,
            "num_test_images": self.num_images,
            "test/classes": [vars(result) for result in self.classes],
            "test/confusion": self.confusion,
        }


def evaluate_test_split(trainer: Trainer, model: Any, data: DataModule) -> tuple[SplitResults, SplitOutputs]:
    """Test the model with its current weights; also returns its outputs for each image."""
    metrics = trainer.test(model, datamodule=data, verbose=False)[0]  # type: ignore[arg-type]
    outputs = outputs_of(data, "test", model.test_logits, trainer)
    results = collect_results(model, metrics)
    expected = len(data.split("test"))
    if not is_limited(trainer.limit_test_batches) and results.num_images != expected:
        raise RuntimeError(f"tested on {results.num_images} images, but the test split has {expected}")
    return results, outputs


def collect_results(model: Any, metrics: Mapping[str, float]) -> SplitResults:
    """Results of the model's last test, for which ``Trainer.test`` returned ``metrics``."""
    values = {name: value.tolist() for name, value in model.test_per_class.compute().items()}
    support = [sum(row) for row in values["confusion"]]
    columns = zip(model.facts.class_names, support, values["precision"], values["recall"], values["f1"], strict=True)
    return SplitResults(dict(metrics), [ClassResult(*column) for column in columns], values["confusion"])


@rank_zero_only
def print_results(results: SplitResults, title: str, notes: Sequence[str] = ()) -> None:
    """Print a table with up to 50 classes, the lowest F1 first, and the averages; then the notes."""
    print(title)
    num_images, metrics = f"{results.num_images:,}", dict(results.metrics)
    metrics.pop("test/loss")
    parts = [f"accuracy {metrics.pop('test/acc'):.2%} on {num_images} test images"]
    averages = [f"{metrics.pop(name):.3f}" for name in ("test/balanced_acc", "test/f1")]
    parts += [f"{name.removeprefix('test/')} {value:.4g}" for name, value in metrics.items()]
    table = Table(caption=escape("\n".join(parts)))
    for heading in ("class", "images", "precision", "recall", "F1"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for result in sorted(results.classes, key=lambda result: result.f1)[:50]:
        shares = (f"{share:.3f}" for share in (result.precision, result.recall, result.f1))
        table.add_row(escape(result.name), f"{result.num_images:,}", *shares)
    table.add_section()
    table.add_row("macro average", num_images, "", *averages)
    console = Console()
    console.print(table)
    for note in notes:
        console.print(escape(note), style="yellow", soft_wrap=True)


def is_limited(limit: float | int) -> bool:
    """Whether only a part of a split is used: the share 1.0 is the whole split, the number 1 is one batch."""
    return isinstance(limit, int) or limit < 1.0


def limit_notes(trainer: Trainer, data: DataModule, splits: Sequence[Split]) -> list[str]:
    """A sentence for each split that the trainer uses only in part."""
    uses = {"train": "An epoch trains on", "val": "Validation uses", "test": "The test uses"}
    notes = []
    for split in splits:
        if is_limited(limit := getattr(trainer, f"limit_{split}_batches")):
            part = f"{limit:.3g}" if isinstance(limit, float) else f"{limit} batches"
            images = f"{len(data.split(split)):,} {SPLIT_NAMES[split]} images"
            notes.append(f"{uses[split]} at most {part} of the {images} (trainer.limit_{split}_batches).")
    return notes
