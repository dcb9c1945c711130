"""The results of a test, overall and per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..data import ImageDataModule
from ..data.splits import Split
from ..models import ImageClassifier
from .outputs import SplitOutputs, outputs_of

MAX_CLASSES_SHOWN = 50


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
    """Results of a model on one test split.

    Attributes:
        loss: mean cross-entropy.
        acc: share of correctly classified images.
        f1: macro-F1, the mean F1 of the classes.
        balanced_acc: mean recall of the classes; always predicting one class gets 1 / K.
        num_images: number of evaluated images.
        classes: results per class, in the order of the labels.
        confusion: (K, K) counts; rows are true classes, columns predicted ones.
    """

    loss: float
    acc: float
    f1: float
    balanced_acc: float
    num_images: int
    classes: list[ClassResult]
    confusion: list[list[int]]

    def as_metrics(self) -> dict[str, Any]:
        """Metrics by name, for ``summary.json``."""
        return {
            "test/acc": self.acc,
            "test/f1": self.f1,
            "test/balanced_acc": self.balanced_acc,
            "test/loss": self.loss,
            "num_test_images": self.num_images,
            "test/classes": [vars(result) for result in self.classes],
            "test/confusion": self.confusion,
        }


def evaluate_test_split(
    trainer: Trainer, model: ImageClassifier, data: ImageDataModule
) -> tuple[SplitResults, SplitOutputs]:
    """Test the model with its current weights on the whole test split.

    Returns:
        the results, and the model's outputs for each image.

    Raises:
        RuntimeError: not all images of the split were evaluated (and the trainer does not limit batches).
    """
    metrics = trainer.test(model, datamodule=data, verbose=False)[0]
    outputs = outputs_of(data, "test", model.test_logits, trainer)
    results = collect_results(model, metrics)
    expected = len(data.split("test"))
    if not is_limited(trainer.limit_test_batches) and results.num_images != expected:
        raise RuntimeError(f"tested on {results.num_images} images, but the test split has {expected}")
    return results, outputs


def collect_results(model: ImageClassifier, metrics: Mapping[str, float]) -> SplitResults:
    """Results of the model's last test.

    Args:
        model: the model, with the metrics of the test.
        metrics: the metrics that ``Trainer.test`` returned.
    """
    values = {name: value.tolist() for name, value in model.test_per_class.compute().items()}
    support = [sum(row) for row in values["confusion"]]
    columns = zip(model.facts.class_names, support, values["precision"], values["recall"], values["f1"], strict=True)
    return SplitResults(
        loss=metrics["test/loss"],
        acc=metrics["test/acc"],
        f1=metrics["test/f1"],
        balanced_acc=metrics["test/balanced_acc"],
        num_images=sum(support),
        classes=[ClassResult(*column) for column in columns],
        confusion=values["confusion"],
    )


@rank_zero_only
def print_results(results: SplitResults, title: str, notes: Sequence[str] = ()) -> None:
    """Print a table with the classes, the lowest F1 first, and the averages; then the notes."""
    print(title)
    table = Table(caption=f"accuracy {results.acc:.2%} on {results.num_images:,} test images")
    for heading in ("class", "images", "precision", "recall", "F1"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    worst_first = sorted(results.classes, key=lambda result: result.f1)
    for result in worst_first[:MAX_CLASSES_SHOWN]:
        shares = (f"{share:.3f}" for share in (result.precision, result.recall, result.f1))
        table.add_row(escape(result.name), f"{result.num_images:,}", *shares)
    table.add_section()
    table.add_row("macro average", f"{results.num_images:,}", "", f"{results.balanced_acc:.3f}", f"{results.f1:.3f}")
    console = Console()
    console.print(table)
    for note in notes:
        console.print(escape(note), style="yellow", soft_wrap=True)


def is_limited(limit: float | int) -> bool:
    """Whether only a part of a split is used: the share 1.0 is the whole split, the number 1 is one batch."""
    return isinstance(limit, int) or limit < 1.0


def limit_notes(trainer: Trainer, data: ImageDataModule, splits: Sequence[Split]) -> list[str]:
    """A sentence for each split that the trainer uses only in part."""
    limits = {
        "train": trainer.limit_train_batches,
        "val": trainer.limit_val_batches,
        "test": trainer.limit_test_batches,
    }
    verbs = {
        "train": "An epoch trains on at most {limit} the {num} training images",
        "val": "Validation uses at most {limit} the {num} validation images",
        "test": "The test uses at most {limit} the {num} test images",
    }
    notes = []
    for split in splits:
        if is_limited(limit := limits[split]):
            part = f"{limit:.3g} of" if isinstance(limit, float) else f"{limit} batches of"
            text = verbs[split].format(limit=part, num=f"{len(data.split(split)):,}")
            notes.append(f"{text} (trainer.limit_{split}_batches).")
    return notes
