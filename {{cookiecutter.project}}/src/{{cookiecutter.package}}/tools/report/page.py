"""The sections of the report: all values that its page shows."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import yaml

from ...engine.calibration import COVERAGES, answers_at, fit_temperature
from ...engine.metrics_table import best_epoch
from ...engine.record import CONFIG, RunRecord
from ...engine.results import CONFIDENCE, SplitOutputs, accuracy_interval
from ...engine.splits import Split
from ...errors import UserError, program_name, some, without_secrets
from ...predictor import likeliest
from ..pages.rendering import thumbnail
from . import calibration, pictures
from .diagnosis import Diagnosis, TrainingFacts, diagnose

MIN_TEST_IMAGES = 10  # of a class; with fewer, its metrics are not reliable
MAX_CARDS = 12  # images per section
MAX_SUSPECTS = 24
MAX_CLASSES = 25  # of the confusion table; with more, a picture is shown
MAX_CLASSES_SHOWN = 50
LABELS = {"loss": "Loss", "acc": "Accuracy", "balanced_acc": "Balanced accuracy", "f1": "Macro-F1"}

Section = dict[str, Any]


def describe_run(run: RunRecord, data: Any, facts: TrainingFacts) -> Section:
    """All values that the HTML template shows; ``data`` is the run's data module, None if it is not in memory."""
    val, test = (run.outputs(split) if run.class_names else None for split in ("val", "test"))
    training = describe_training(run, facts)
    section: Section = {"run": run, "summary": run.summary, "training": training, "origin": describe_origin(run)}
    numbers = {"training": run.summary.get("num_train_images")}
    numbers |= {name: len(of) for name, of in (("validation", val), ("test", test)) if of is not None}
    section["num_images"] = {name: num for name, num in numbers.items() if num is not None}
    if val is None or test is None:
        return section
    section["test"] = describe_test(run, test)
    if np.isfinite(val.logits).all() and np.isfinite(test.logits).all():  # not if the training diverged
        if training["diagnosis"].has_learned:
            section["calibration"] = describe_calibration(val, test)
            rows = [answers_at(val, test, coverage) for coverage in COVERAGES]
            section["abstention"] = {"rows": rows, "plot": pictures.plot_coverage(test)}
        section["images"] = describe_images(run, {"val": val, "test": test}, data, training["diagnosis"])
    return section


def describe_training(run: RunRecord, facts: TrainingFacts) -> Section:
    """Diagnosis, curves of all metrics, and the metrics of the kept weights in training, validation and test."""
    epochs, kept = run.epochs, best_epoch(run.epochs, facts.monitor)
    recorded = {name for epoch in epochs for stage in ("train", "val") for name in metrics_of(stage, epoch)}
    curves = [(LABELS.get(name, name), pictures.plot_curves(epochs, name, kept)) for name in in_order(recorded)]
    if learning_rates := pictures.plot_learning_rates(epochs):
        curves.insert(2, ("Learning rate", learning_rates))
    sources = {"training": ("train", kept or {}), "validation": ("val", kept or {}), "test": ("test", run.summary)}
    measured = {split: metrics_of(*source) for split, source in sources.items()}
    return {
        "facts": facts,
        "epochs": epochs,
        "kept": kept,
        "diagnosis": diagnose(epochs, facts),
        "curves": curves,
        "learning_rates": learning_rates,
        "measured": {split: values for split, values in measured.items() if values},
        "metrics": in_order({name for values in measured.values() for name in values}),
    }


def metrics_of(stage: str, values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers named ``stage/NAME``, by NAME."""
    found = {name: value for name, value in values.items() if name.startswith(f"{stage}/") and isinstance(value, float)}
    return {name.removeprefix(f"{stage}/"): value for name, value in found.items()}


def in_order(names: set[str]) -> list[str]:
    """The metrics of this project first, then others by name."""
    return [name for name in LABELS if name in names] + sorted(names - set(LABELS))


def describe_test(run: RunRecord, test: SplitOutputs) -> Section:
    counts = np.array(run.summary["test/confusion"])
    support, results = counts.sum(axis=1), run.summary["test/classes"]
    small = [f"{found['name']} ({found['num_images']})" for found in results if found["num_images"] < MIN_TEST_IMAGES]
    subject = "1 class has" if len(small) == 1 else f"{len(small)} classes have"
    reason = f"fewer than {MIN_TEST_IMAGES} test images, so their metrics are not reliable: {some(small)}."
    worst_first = sorted(results, key=lambda result: result["f1"])
    is_table = len(counts) <= MAX_CLASSES
    return {
        "num_images": len(test),
        "digits": 2 if len(test) >= 1000 else 1,
        "accuracy": float(test.is_correct.mean()),
        "interval": accuracy_interval(test.is_correct),
        "confidence": CONFIDENCE,
        "largest_class": run.class_names[int(np.argmax(support))],
        "largest_share": float(support.max() / support.sum()),
        "small_classes": f"{subject} {reason}" if small else None,
        "classes": worst_first[:MAX_CLASSES_SHOWN],
        "more_classes": worst_first[MAX_CLASSES_SHOWN:],
        "table": pictures.confusion_table(counts) if is_table else None,
        "pairs": pictures.most_confused(counts, run.class_names),
        "heat_map": None if is_table else pictures.heat_map(counts),
    }


def describe_calibration(val: SplitOutputs, test: SplitOutputs) -> Section:
    temperature, before = fit_temperature(val), calibration.measure_calibration(test)
    after = None if temperature is None else calibration.measure_calibration(test, temperature)
    return {
        "temperature": temperature,
        "before": before,
        "after": after,
        "verdict": None if temperature is None or after is None else calibration.verdict(temperature, before, after),
        "num_bins": calibration.NUM_BINS,
        "num_val_images": len(val),
        "plot": pictures.plot_reliability(before, after),
    }


def describe_images(run: RunRecord, outputs: dict[Split, SplitOutputs], data: Any, diagnosis: Diagnosis) -> Section:
    why_none = None
    if data is None:
        data, why_none = open_data(run, outputs)
    album, test = Album(run, outputs, data), outputs["test"]
    surest_first = np.argsort(-album.probabilities["test"].max(axis=1), kind="stable")
    mistakes = surest_first[~test.is_correct[surest_first]]
    all_correct = np.concatenate([of_split.is_correct for of_split in outputs.values()])
    why_no_suspects = calibration.why_not_judged(float(all_correct.mean()))
    if not diagnosis.has_learned:
        why_no_suspects = f"The diagnosis of the training is “{diagnosis.name}”."
    suspects = [] if why_no_suspects else album.suspects()
    return {
        "why_none": why_none,
        "mistakes": [album.card("test", index) for index in mistakes[:MAX_CARDS]],
        "num_mistakes": len(mistakes),
        "uncertain": [album.card("test", index) for index in surest_first[::-1][:MAX_CARDS]],
        "why_no_suspects": why_no_suspects,
        "suspects": [album.card(*suspect) for suspect in suspects[:MAX_SUSPECTS]],
        "num_suspects": len(suspects),
    }


class Album:
    """The images of the splits of a run with their predictions; ``data`` is None if the images are not available."""

    def __init__(self, run: RunRecord, outputs: dict[Split, SplitOutputs], data: Any) -> None:
        self.class_names, self.outputs = run.class_names, outputs
        self.probabilities = {split: of_split.probabilities for split, of_split in outputs.items()}
        self.images = {split: data.split(split) for split in outputs} if data is not None else {}
        # Positions by name: files may have been added or removed since the run.
        self.positions = {split: {name: n for n, name in enumerate(of.names)} for split, of in self.images.items()}

    def card(self, split: Split, index: int, suggested: int | None = None) -> Section:
        """The image at ``index`` of a split, with the index of a suggested class if its label is suspected."""
        name, names = self.outputs[split].names[index], self.class_names
        shares = likeliest(self.probabilities[split][index], names, k=3)
        position = self.positions.get(split, {}).get(name)
        return {
            "name": name,
            "split": split,
            "true_class": names[self.outputs[split].labels[index]],
            "predicted_class": next(iter(shares)),
            "suggested_class": None if suggested is None else names[suggested],
            "shares": shares,
            "picture": None if position is None else thumbnail(self.images[split].images[torch.tensor([position])][0]),
        }

    def suspects(self) -> list[tuple[Split, int, int]]:
        """Split, index and suggested class of the images that may be mislabelled, most likely first."""
        labels = np.concatenate([outputs.labels for outputs in self.outputs.values()])
        found = calibration.find_suspects(np.concatenate(list(self.probabilities.values())), labels)
        places = [(split, index) for split, outputs in self.outputs.items() for index in range(len(outputs))]
        return [(*places[position], suggested) for position, suggested in found]


def open_data(run: RunRecord, splits: Iterable[Split]) -> tuple[Any, str | None]:
    """The data module of a run with the given splits, or None and the reason why its images cannot be shown."""
    section = run.config["data"]
    arguments = section.get("init_args", {})
    if arguments.get("cache") in {"auto", "memory", "disk"}:  # without a cache, only the shown images are decoded
        arguments = arguments | {"cache": "none"}
    try:
        data = replace(run, config=run.config | {"data": section | {"init_args": arguments}}).data
        for split in splits:
            data.split(split)
    except (UserError, OSError, RuntimeError) as error:  # torchvision raises RuntimeError if files are missing
        return None, str(error)
    return data, None


def describe_origin(run: RunRecord) -> Section:
    """How to repeat the run: in a new run directory, and with the command that started it, if that is known."""
    words = run.environment.get("command", [])
    return {
        "again": f"{program_name()} fit --config {shlex.quote(str(run.directory / CONFIG))}",
        "given": f"{run.environment.get('program', words[0])} {shlex.join(words[1:])}" if words else None,
        "config": yaml.safe_dump(without_secrets(run.config), sort_keys=False, allow_unicode=True),
    }
