from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from {{cookiecutter.package}}.engine.images import LabelledImages
from {{cookiecutter.package}}.tools.compare.candidates import (
    best_first,
    downscaled,
    run_directories,
    short_names,
    stratified_sample,
)
from {{cookiecutter.package}}.tools.compare.comparison import differing_settings, seed_groups

from .candidates import candidate, run


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


def test_each_run_is_found_once_and_folders_of_wandb_are_ignored(tmp_path: Path) -> None:
    for folder in ("runs/cnn/1", "runs/cnn/1/wandb/run-1/files", "runs/mlp/1"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.yaml").write_text("{}")
    runs = [tmp_path / "runs" / "mlp" / "1", tmp_path / "runs" / "cnn" / "1"]
    assert run_directories([runs[0], tmp_path / "runs"]) == runs


def test_of_equals_the_faster_first() -> None:
    slow, fast, worse = candidate("slow", seconds=9), candidate("fast"), candidate("worse", [False, False], seconds=0.1)
    assert best_first([worse, slow, fast]) == [fast, slow, worse]


def config(seed: int, lr: float = 0.1, **changed: Any) -> dict[str, Any]:
    model = {"class_path": "CNN", "init_args": {"widths": [8], "optimizer": {"lr": lr}}}
    return {"seed_everything": seed, "model": model, "run": {"directory": f"run {seed}"}, **changed}


def test_runs_of_one_recipe_are_a_group() -> None:
    runs = [
        run("a", config(0), [True, True, True, True]),
        run("b", config(1, tracking={"wandb": "off"}), [True, True, False, False]),
        run("c", config(0, lr=0.2), [True, True, True, False]),
    ]
    assert seed_groups(runs) == [runs[:2]]


def test_settings_have_the_names_of_options() -> None:
    mlp = {"class_path": "MLP", "init_args": {"sizes": [4, 2], "optimizer": {"lr": 0.1}}}
    runs = [run("a", config(0)), run("c", config(0, model=mlp))]
    assert differing_settings(runs) == {
        "model": ["CNN", "MLP"],
        "model.widths": ["[8]", ""],
        "model.sizes": ["", "[4, 2]"],
    }
    assert differing_settings(runs[:1]) == {}


def test_a_sample_has_every_class_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    sample = stratified_sample(labels, 50)
    assert np.bincount(labels[sample]).tolist() == [30, 15, 5]
    assert len(set(sample.tolist())) == 50
    assert stratified_sample(labels, 50).tolist() == sample.tolist()
    assert stratified_sample(labels, 1000).tolist() == list(range(1000))


def test_each_pixel_is_the_mean_of_those_it_replaces() -> None:
    images = torch.arange(2 * 3 * 64 * 64).remainder(251).to(torch.uint8).view(2, 3, 64, 64)
    split = LabelledImages(images, torch.tensor([7, 8]), ["a", "b"])
    pixels, labels = downscaled(split, np.array([1, 0]))
    assert labels.tolist() == [8, 7]
    assert pixels.shape == (2, 3 * 32 * 32)
    assert pixels[0, 0] == images[1, 0, :2, :2].float().mean()


def test_small_images_stay_as_they_are() -> None:
    images = torch.arange(2 * 8 * 8).to(torch.uint8).view(2, 1, 8, 8)
    pixels, _ = downscaled(LabelledImages(images, torch.tensor([0, 1]), ["a", "b"]), np.array([0, 1]))
    assert pixels.tolist() == images.flatten(1).tolist()
