from pathlib import Path

import pytest

from {{cookiecutter.package}}.evaluation.comparison.runs import run_directories, short_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/cnn/1", "runs/mlp/2"], ["cnn", "mlp"]),
        (["runs/cnn/1", "runs/cnn/2", "runs/mlp/1"], ["cnn/1", "cnn/2", "mlp"]),
        (["runs/cnn/1", "runs/cnn/1/again"], ["1", "1/again"]),
        (["runs/a/x", "elsewhere"], ["runs", "elsewhere"]),
        (["runs/cnn/1"], ["1"]),
    ],
)
def test_names_are_as_short_as_they_can_be(paths: list[str], names: list[str], tmp_path: Path) -> None:
    directories = [tmp_path / path for path in paths]
    assert [short_names(directories)[directory] for directory in directories] == names


def test_a_run_is_found_once_and_what_wandb_keeps_is_none(tmp_path: Path) -> None:
    for folder in ("runs/cnn/1", "runs/cnn/1/wandb/run-1/files", "runs/mlp/1"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.yaml").write_text("{}")
    runs = [tmp_path / "runs" / "mlp" / "1", tmp_path / "runs" / "cnn" / "1"]
    assert run_directories([runs[0], tmp_path / "runs"]) == runs
