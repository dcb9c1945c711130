"""Files of a run, manifests, studies and exports that are damaged in random ways: a sentence, or the true result.

``HOSTILE_EXAMPLES`` sets the number of examples of each test; the default takes less than a minute.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from {{cookiecutter.package}} import fit as fit_verb

from ..exported import write_export
from ..interruption import Interruption, power_cut
from .campaign import Outcome, judge, run
from .conftest import CPU, DIGITS, OFF
from .damage import damage

demo = pytest.importorskip("{{cookiecutter.package}}.tools.demo.demo")

EXAMPLES = int(os.environ.get("HOSTILE_EXAMPLES", "6"))
BEST, LAST = "checkpoints/best.ckpt", "checkpoints/last.ckpt"
RECORD = ("config.yaml", "summary.json", "metrics.csv", "outputs.npz", "environment.json")
# Verb, and a file that it reads.
PAIRS = [("test", BEST), ("predict", BEST), ("export", BEST), ("init", BEST)]
PAIRS += [("report", name) for name in RECORD]
PAIRS += [("compare", name) for name in RECORD[:4]]
PAIRS += [("demo", name) for name in (BEST, *RECORD, "predictions.csv")]
PAIRS += [("resume", name) for name in ("config.yaml", "status.json", "metrics.csv", BEST, LAST)]
SWEEP = """\
program: ignored
command: [x, fit, --data, DigitsDataModule, --model, MLPClassifier, "--model.hidden_sizes=[8]", "${args}"]
metric: {name: val/loss, goal: minimize}
parameters:
  model.dropout: {min: 0.1, max: 0.3}
  model.optimizer.lr: {distribution: log_uniform_values, min: 0.0001, max: 0.01}
  model.schedule.name: {value: constant}
"""


@pytest.fixture(scope="module")
def subjects(paths: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The runs of the campaign; a training that a power cut ended; a search and a manifest; an export; a packing."""
    folder = tmp_path_factory.mktemp("subjects")
    build = fit_verb.build_callbacks
    with pytest.MonkeyPatch.context() as patch:
        cut = Interruption(1, 0, power_cut)
        patch.setattr(fit_verb, "build_callbacks", lambda *given: [*build(*given), cut])
        words = [*DIGITS, *CPU, *OFF, "--run.directory", "cut", "--trainer.max_epochs", "2"]
        assert "PowerCutError" in run(["fit", *words], folder, seconds=120).trace
    (folder / "search").mkdir()
    (folder / "search" / "sweep.yaml").write_text(SWEEP)
    search = run(tune_words(folder / "search"), folder, seconds=120)
    assert judge(search, statuses=[0]) == []
    manifest = run(["split", str(paths["photos"]), "--output", str(folder / "search" / "splits.csv")], folder)
    assert judge(manifest, statuses=[0]) == []
    write_export(folder / "export")
    with zipfile.ZipFile(Path(__file__).parents[1] / "data" / "packed_before.zip") as packed:
        packed.extractall(folder)
    return {**paths, **{name: folder / name for name in ("cut", "search", "export", "packed")}}


def tune_words(folder: Path) -> list[str]:
    fixed = ["--trials", "1", "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"]
    return ["tune", "--sweep", str(folder / "sweep.yaml"), "--study", str(folder / "study.db"), *fixed]


def no_server(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def copy_of(directory: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(directory, Path(folder, directory.name)))


def words_of(verb: str, directory: Path, subjects: Mapping[str, Path]) -> list[str]:
    ckpt = ["--ckpt", str(directory)]
    return {
        "test": ["test", *ckpt, *CPU],
        "predict": ["predict", *ckpt, str(subjects["photos"] / "red"), "--output", str(directory / "p.csv")],
        "export": ["export", *ckpt, "--out", str(directory)],  # refused, but only after the checkpoint was read
        "init": ["fit", *DIGITS, *CPU, *OFF, "--init_from", str(directory), "--trainer.limit_train_batches", "1"],
        "report": ["report", str(directory)],
        "compare": ["compare", str(directory), str(subjects["digits"]), "--output", str(directory / "c.html")],
        "demo": ["demo", *ckpt],
        "resume": ["fit", "--resume", str(directory)],
    }[verb]


def try_damaged(verb: str, name: str, rng: Random, subjects: Mapping[str, Path]) -> tuple[str, Outcome, list[str]]:
    """Damage a file of a copy of a run, and run a verb: what was done, how it ended, and what is wrong with that."""
    source = {"resume": "cut", "init": "digits", "predict": "run", "test": "digits", "export": "digits"}
    original = subjects[source.get(verb, "run")]
    with copy_of(original) as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "served", no_server)
        what = damage(directory / name, rng)
        outcome = run(words_of(verb, directory, subjects), directory.parent)
        problems = judge(outcome)
        if outcome.status == 0 and not problems:
            problems = untrue(verb, name, directory, outcome, subjects)
    return what, outcome, problems


def untrue(verb: str, name: str, directory: Path, outcome: Outcome, subjects: Mapping[str, Path]) -> list[str]:
    """What is not true in the results of a verb that succeeded on a damaged run."""
    if Path(name).name in outcome.err or "left out" in outcome.err or "not finite" in outcome.err:  # a warning says so
        return []
    if verb == "test":
        return ["another accuracy"] if accuracies(outcome.out) != TRUE["test"](subjects) else []
    if verb == "predict":
        table = (directory / "p.csv").read_text()
        return ["other predictions"] if numbers(table) != TRUE["predict"](subjects) else []
    if verb == "compare":
        return ["another accuracy"] if accuracies(outcome.out) != TRUE["compare"](subjects) else []
    if verb == "resume":
        summary = (directory / "summary.json").read_text()
        return ["another result"] if loss(summary) != TRUE["resume"](subjects) else []
    if verb == "report":
        page = (directory / "report.html").read_text()
        return ["another accuracy"] if shown_accuracy(page) not in ([], TRUE["report"](subjects)) else []
    return []


def shown_accuracy(page: str) -> list[str]:
    return re.findall(r"accuracy</dt><dd>([\d.]+)", page)


def accuracies(text: str) -> list[str]:
    return re.findall(r"\d+\.\d+ ?%", text)


def numbers(table: str) -> list[str]:
    return [line.split(",")[2] for line in table.splitlines()]


def loss(summary: str) -> list[str]:
    return re.findall(r'"test/loss": (.*),', summary)


known: dict[str, list[str]] = {}


def true_result(verb: str) -> Callable[[Mapping[str, Path]], list[str]]:
    """The result of a verb on the undamaged run."""

    def find(subjects: Mapping[str, Path]) -> list[str]:
        if verb not in known:
            original = subjects[{"resume": "cut", "predict": "run", "test": "digits"}.get(verb, "run")]
            with copy_of(original) as directory:
                outcome = run(words_of(verb, directory, subjects), directory.parent, seconds=60)
                assert judge(outcome, statuses=[0]) == []
                if verb == "predict":
                    known[verb] = numbers((directory / "p.csv").read_text())
                elif verb == "resume":
                    known[verb] = loss((directory / "summary.json").read_text())
                else:
                    page = directory / "report.html"
                    known[verb] = shown_accuracy(page.read_text()) if verb == "report" else accuracies(outcome.out)
        return known[verb]

    return find


TRUE = {verb: true_result(verb) for verb in ("test", "predict", "compare", "resume", "report")}
stable = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize(("verb", "name"), PAIRS, ids=[f"{verb}-{Path(name).name}" for verb, name in PAIRS])
@stable
@given(rng=st.randoms(use_true_random=False))
def test_a_file_of_a_run(verb: str, name: str, subjects: Mapping[str, Path], rng: Random) -> None:
    what, _, problems = try_damaged(verb, name, rng, subjects)
    assert problems == [], what


def try_search(name: str, rng: Random, subjects: Mapping[str, Path]) -> tuple[str, Outcome, list[str]]:
    with copy_of(subjects["search"]) as folder:
        what = damage(folder / name, rng)
        outcome = run(tune_words(folder), folder)
        return what, outcome, judge(outcome)


@pytest.mark.parametrize("name", ["study.db", "sweep.yaml"])
@stable
@given(rng=st.randoms(use_true_random=False))
def test_a_search(name: str, subjects: Mapping[str, Path], rng: Random) -> None:
    what, _, problems = try_search(name, rng, subjects)
    assert problems == [], what


def try_manifest(verb: str, rng: Random, subjects: Mapping[str, Path]) -> tuple[str, Outcome, list[str]]:
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(shutil.copy(subjects["search"] / "splits.csv", temporary))
        what = damage(file, rng)
        if verb == "split":
            words = ["split", str(subjects["photos"]), "--output", str(file), "--extend"]
        else:
            words = ["test", "--ckpt", str(subjects["run"]), "--data.splits", str(file), "--allow_trained_images", *CPU]
        outcome = run(words, file.parent)
        return what, outcome, judge(outcome)


OTHERS = [("predict", "export", "model.json"), ("demo", "export", "model.json"), ("predict", "export", "model.onnx")]
OTHERS += [("fit", "packed", name) for name in ("dataset.json", "train/index.json", "val/labels.npy")]


def try_other(verb: str, name: str, rng: Random, subjects: Mapping[str, Path]) -> tuple[str, Outcome, list[str]]:
    """Damage a file of an export or of a packed data set, and read it."""
    subject, _, file = name.partition("/")
    with copy_of(subjects[subject]) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "served", no_server)
        what = damage(folder / file, rng)
        packed = ["--data", "StreamingImageDataModule", "--data.root", str(folder), "--data.batch_size", "4"]
        words = {
            "predict": ["predict", "--ckpt", str(folder), str(subjects["photos"] / "red"), "--output", "p.csv"],
            "demo": ["demo", "--export", str(folder)],
            "fit": ["fit", *packed, *DIGITS[2:], *CPU, *OFF, "--trainer.max_epochs", "1", "--data.image_size", "8"],
        }[verb]
        outcome = run(words, folder.parent)
        problems = judge(outcome)
        if verb == "predict" and outcome.status == 0 and not problems:
            read = (folder.parent / "p.csv").read_text().splitlines()[1:]
            problems = [] if all(line.split(",")[1] in {"red", ""} for line in read) else ["another class"]
        return what, outcome, problems


@pytest.mark.parametrize(("verb", "subject", "name"), OTHERS)
@stable
@given(rng=st.randoms(use_true_random=False))
def test_an_export_or_packed_data_set(
    verb: str, subject: str, name: str, subjects: Mapping[str, Path], rng: Random
) -> None:
    what, _, problems = try_other(verb, f"{subject}/{name}", rng, subjects)
    assert problems == [], what


@pytest.mark.parametrize("verb", ["split", "test"])
@stable
@given(rng=st.randoms(use_true_random=False))
def test_a_manifest(verb: str, subjects: Mapping[str, Path], rng: Random) -> None:
    what, _, problems = try_manifest(verb, rng, subjects)
    assert problems == [], what
