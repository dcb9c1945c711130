import csv
from importlib.metadata import distributions, version
from pathlib import Path

import numpy as np
import pytest

from {{cookiecutter.package}}.data import DATA_MODULES
from {{cookiecutter.package}}.engine.record import find_runs, read_run
from {{cookiecutter.package}}.errors import UserError

from ..conftest import Fit


def test_a_run_is_read_back(fit: Fit, workspace: Path) -> None:
    run = read_run(fit("--model.optimizer.lr", "0.01", epochs=3), DATA_MODULES)
    of_wandb = run.directory / "wandb" / "run" / "files" / "config.yaml"
    of_wandb.parent.mkdir(parents=True)
    of_wandb.touch()
    assert find_runs(workspace) == [run.directory]
    assert run.class_names == ["blue", "green", "red"]
    assert [epoch["epoch"] for epoch in run.epochs] == [0, 1, 2]
    assert {"train/loss", "val/loss", "val/acc", "lr/network"} <= run.epochs[-1].keys()
    assert run.environment["versions"]["torch"] == version("torch")
    names = {found.metadata["Name"] for found in distributions()}
    assert run.environment["packages"] == {name: version(name) for name in names}
    assert len(run.data.split("test")) == 9


def test_outputs_agree_with_the_summary_and_the_table(fit: Fit) -> None:
    run = read_run(fit("--model.optimizer.lr", "0.01", epochs=3), DATA_MODULES)
    test, val = run.outputs("test"), run.outputs("val")
    assert test is not None
    assert val is not None
    assert (test.logits.shape, val.logits.shape) == ((9, 3), (8, 3))
    assert test.is_correct.mean() == pytest.approx(run.summary["test/acc"])
    counts = np.bincount(test.labels * 3 + test.predicted, minlength=9)
    assert counts.reshape(3, 3).tolist() == run.summary["test/confusion"]
    with (run.directory / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == test.names == list(run.data.split("test").names)
    assert [run.class_names[index] for index in test.predicted] == [row["predicted_class"] for row in rows]
    ranked = [float(rows[0][column]) for column in ("probability", "probability_2", "probability_3")]
    assert ranked == sorted(ranked, reverse=True)
    assert sum(ranked) == pytest.approx(1, abs=1e-5)
    assert {rows[0][column] for column in ("predicted_class", "class_2", "class_3")} == set(run.class_names)


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a run directory: it has no config\.yaml"):
        read_run(tmp_path)
