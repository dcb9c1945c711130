import shutil
from pathlib import Path

import numpy as np
import pytest

from {{cookiecutter.package}}.engine.calibration import answers_at
from {{cookiecutter.package}}.engine.record import read_run
from {{cookiecutter.package}}.engine.run_directory import OUTPUTS
from {{cookiecutter.package}}.tools.demo.demo import build_parser, load_subject
from {{cookiecutter.package}}.tools.demo.subject import Example, Subject, choose

from ...conftest import COLOURS, Fit


def subject_of(*options: str) -> Subject:
    return load_subject(build_parser().parse_args(options))


def test_of_a_run(fit: Fit, photos: Path) -> None:
    directory = fit("--model.optimizer.lr", "0.01")
    run, subject = read_run(directory), subject_of("--ckpt", str(directory))
    val, test = run.outputs("val"), run.outputs("test")
    assert val is not None
    assert test is not None
    assert subject.model == "CNNClassifier"
    assert subject.threshold == answers_at(val, test, 0.95).threshold > 0
    assert subject.result is not None
    assert subject.result.accuracy == pytest.approx(run.summary["test/acc"])
    assert subject.result.num_images == 9
    assert 0 <= subject.result.low < subject.result.accuracy <= subject.result.high <= 1
    truth = dict(zip(test.names, test.labels, strict=True))
    for example in subject.examples:
        name = example.file.relative_to(photos).as_posix()
        assert sorted(COLOURS)[truth[name]] == example.true_class
        prediction = subject.predictor.predict(example.file)[0]
        assert prediction.label == example.predicted_class
    num_correct = sum(example.is_correct for example in subject.examples)
    assert num_correct == min(4, int(test.is_correct.sum()))
    assert len(subject.examples) - num_correct == min(4, int((~test.is_correct).sum()))


def test_of_a_checkpoint_that_has_no_results(fit: Fit, photos: Path, tmp_path: Path) -> None:
    """Neither another checkpoint of the run, nor a file without its run, nor a run whose files are gone."""
    directory = fit()
    other = subject_of("--ckpt", str(directory / "checkpoints" / "last.ckpt"))
    assert (other.threshold, other.result, other.examples) == (0, None, [])
    alone = subject_of("--ckpt", str(shutil.copy(directory / "checkpoints" / "best.ckpt", tmp_path / "alone.ckpt")))
    assert (alone.threshold, alone.result, alone.examples) == (0, None, [])
    shutil.rmtree(photos)
    (directory / OUTPUTS).unlink()
    rest = subject_of("--ckpt", str(directory))
    assert (rest.threshold, rest.examples) == (0, [])
    assert rest.result is not None


def test_of_an_export(exported: Path) -> None:
    subject = subject_of("--export", str(exported))
    assert (subject.model, subject.threshold, subject.examples) == ("CNNClassifier", 0.8, [])
    assert subject.result is not None
    assert (subject.result.low, subject.result.num_images) == (0.91, 153)
    assert subject.predictor.predict(np.full((9, 9, 3), (255, 0, 0), np.uint8))[0].class_name == "red"


def test_examples_of_different_classes_come_first() -> None:
    rows = [("a", "a"), ("a", "a"), ("b", "a"), ("b", "b"), ("a", "a"), ("c", "c"), ("a", "a")]
    examples = [Example(Path(str(number)), *row) for number, row in enumerate(rows)]
    assert [int(example.file.name) for example in choose(examples)] == [0, 3, 5, 1, 2]
