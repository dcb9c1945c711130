"""Writes the report of a run as one HTML file that needs no other file, no network and no JavaScript."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...data import ImageDataModule
from ...data.splits import Split
from ...errors import some
from ...pages.rendering import render
from ...program import program_name
from ..intervals import CONFIDENCE, accuracy_interval
from ..outputs import SplitOutputs
from ..record import CONFIG, RunRecord
from . import confusion
from .abstention import COVERAGES, answers_at
from .calibration import NUM_BINS, fit_temperature, measure_calibration, verdict
from .curves import facts_of_training, kept_epoch
from .diagnosis import Diagnosis, diagnose
from .mislabelled import find_suspects, why_not_judged
from .pictures import Album, Card, open_data
from .plots import plot_coverage, plot_curves, plot_learning_rates, plot_reliability

FILE_NAME = "report.html"
MIN_TEST_IMAGES = 10  # of a class; with fewer, its metrics are not reliable
MAX_CARDS = 12  # images per section
MAX_SUSPECTS = 24
MAX_CLASSES_SHOWN = 50
MANY_IMAGES = 1000  # number of test images from which accuracies are shown with two decimals

Section = dict[str, Any]


def write_report(run: RunRecord, file: Path, data: ImageDataModule | None = None) -> None:
    """Write the report of a run, finished or not.

    Args:
        run: record of the run.
        file: HTML file to write; an existing file is overwritten.
        data: data set of the run if it is in memory; otherwise it is created from the config of the run.
    """
    file.write_text(render(__package__, **describe(run, data)), encoding="utf-8")


def describe(run: RunRecord, data: ImageDataModule | None) -> Section:
    """All values that the HTML template shows."""
    val, test = (run.outputs(split) if run.class_names else None for split in ("val", "test"))
    training = describe_training(run, data)
    section: Section = {
        "run": run,
        "summary": run.summary,
        "date": datetime.now().strftime("%Y-%m-%d %H:%M"),
        "head": describe_head(run, val, test),
        "training": training,
        "origin": describe_origin(run),
        "test": None,
        "calibration": None,
        "images": None,
    }
    if test is not None and val is not None:
        section["test"] = describe_test(run, test)
    if test is not None and val is not None and has_probabilities(val) and has_probabilities(test):
        if training["diagnosis"].has_learned:
            section |= {
                "calibration": describe_calibration(val, test),
                "abstention": describe_abstention(val, test),
            }
        section |= {
            "images": describe_images(run, {"val": val, "test": test}, data, training["diagnosis"]),
        }
    return section


def describe_head(run: RunRecord, val: SplitOutputs | None, test: SplitOutputs | None) -> dict[str, str]:
    """Data set, number of images and model of the run, as terms with their descriptions."""
    data, model = (run.config[section] for section in ("data", "model"))
    root, backbone = data.get("init_args", {}).get("root"), model.get("init_args", {}).get("backbone")
    numbers = {
        "training": run.summary.get("num_train_images"),
        "validation": None if val is None else len(val),
        "test": None if test is None else len(test),
    }
    images = ", ".join(f"{num:,} {split}" for split, num in numbers.items() if num is not None)
    facts = {
        "data": f"{data['class_path']}, {root}" if root else data["class_path"],
        "images": images,
        "model": f"{model['class_path']}, backbone {backbone}" if backbone else model["class_path"],
    }
    return {term: text for term, text in facts.items() if text}


def has_probabilities(outputs: SplitOutputs) -> bool:
    """Whether all logits are finite, which is not the case if the training diverged."""
    return bool(np.isfinite(outputs.logits).all())


def describe_training(run: RunRecord, data: ImageDataModule | None) -> Section:
    facts = facts_of_training(run, data)
    epochs, kept = run.epochs, kept_epoch(run.epochs, facts.monitor)
    return {
        "facts": facts,
        "epochs": epochs,
        "kept": kept,
        "diagnosis": diagnose(epochs, facts),
        "loss": plot_curves(epochs, "loss", "loss", kept) if epochs else None,
        "accuracy": plot_curves(epochs, "acc", "accuracy", kept) if epochs else None,
        "learning_rates": plot_learning_rates(epochs),
    }


def describe_test(run: RunRecord, test: SplitOutputs) -> Section:
    counts = np.array(run.summary["test/confusion"])
    support = counts.sum(axis=1)
    worst_first = sorted(run.summary["test/classes"], key=lambda result: result["f1"])
    is_table = len(counts) <= confusion.MAX_CLASSES
    return {
        "num_images": len(test),
        "digits": 2 if len(test) >= MANY_IMAGES else 1,
        "accuracy": float(test.is_correct.mean()),
        "interval": accuracy_interval(test.is_correct),
        "confidence": CONFIDENCE,
        "largest_class": run.class_names[int(np.argmax(support))],
        "largest_share": float(support.max() / support.sum()),
        "small_classes": describe_small_classes(run.summary["test/classes"]),
        "classes": worst_first[:MAX_CLASSES_SHOWN],
        "more_classes": worst_first[MAX_CLASSES_SHOWN:],
        "table": confusion.table(counts) if is_table else None,
        "pairs": confusion.most_confused(counts, run.class_names),
        "heat_map": None if is_table else confusion.heat_map(counts),
    }


def describe_small_classes(results: list[Section]) -> str | None:
    """A sentence on the classes with too few test images; None if there are none."""
    small = [
        f"{result['name']} ({result['num_images']})" for result in results if result["num_images"] < MIN_TEST_IMAGES
    ]
    if not small:
        return None
    subject = "1 class has" if len(small) == 1 else f"{len(small)} classes have"
    return f"{subject} fewer than {MIN_TEST_IMAGES} test images, so their metrics are not reliable: {some(small)}."


def describe_calibration(val: SplitOutputs, test: SplitOutputs) -> Section:
    temperature = fit_temperature(val)
    before = measure_calibration(test)
    after = None if temperature is None else measure_calibration(test, temperature)
    return {
        "temperature": temperature,
        "before": before,
        "after": after,
        "verdict": None if temperature is None or after is None else verdict(temperature, before, after),
        "num_bins": NUM_BINS,
        "num_val_images": len(val),
        "plot": plot_reliability(before, after),
    }


def describe_abstention(val: SplitOutputs, test: SplitOutputs) -> Section:
    return {"rows": [answers_at(val, test, coverage) for coverage in COVERAGES], "plot": plot_coverage(test)}


def describe_images(
    run: RunRecord, outputs: dict[Split, SplitOutputs], data: ImageDataModule | None, diagnosis: Diagnosis
) -> Section:
    why_none = None
    if data is None:
        data, why_none = open_data(run, outputs)
    album = Album(outputs, run.class_names, data)
    surest_first = np.argsort(-album.probabilities["test"].max(axis=1), kind="stable")
    mistakes = surest_first[~outputs["test"].is_correct[surest_first]]
    all_correct = np.concatenate([of_split.is_correct for of_split in outputs.values()])
    why_no_suspects = why_not_judged(float(all_correct.mean()))
    if not diagnosis.has_learned:
        why_no_suspects = f"The diagnosis of the training is “{diagnosis.name}”."
    suspects, num_suspects = ([], 0) if why_no_suspects else likely_mislabelled(album)
    return {
        "why_none": why_none,
        "mistakes": [album.card("test", index) for index in mistakes[:MAX_CARDS]],
        "num_mistakes": len(mistakes),
        "uncertain": [album.card("test", index) for index in surest_first[::-1][:MAX_CARDS]],
        "why_no_suspects": why_no_suspects,
        "suspects": suspects,
        "num_suspects": num_suspects,
    }


def likely_mislabelled(album: Album) -> tuple[list[Card], int]:
    """Cards of the first ``MAX_SUSPECTS`` suspects of all splits, most likely first, and the number of all suspects."""
    labels = np.concatenate([outputs.labels for outputs in album.outputs.values()])
    suspects = find_suspects(np.concatenate(list(album.probabilities.values())), labels)
    places = [(split, index) for split, outputs in album.outputs.items() for index in range(len(outputs))]
    return [album.card(*places[found.index], found.suggested) for found in suspects[:MAX_SUSPECTS]], len(suspects)


def describe_origin(run: RunRecord) -> Section:
    return {
        "environment": run.environment,
        "again": command_again(run),
        "given": command_given(run.environment),
        "config": yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True),
    }


def command_again(run: RunRecord) -> str:
    """The command that repeats the run in a new run directory."""
    return f"{program_name()} fit --config {shlex.quote(str(run.directory / CONFIG))}"


def command_given(environment: dict[str, Any]) -> str | None:
    """The command that started the run; None if it is not known."""
    words = environment.get("command", [])
    return f"{environment.get('program', words[0])} {shlex.join(words[1:])}" if words else None
