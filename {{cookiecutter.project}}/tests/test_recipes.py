"""Every shipped config parses, and every recipe is a card."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from {{cookiecutter.package}}.cli import companions
from {{cookiecutter.package}}.fit import resolve

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPES = sorted(CONFIGS.glob("*.yaml"))
OVERLAYS = sorted(path for folder in ("trainer", "tracking") for path in (CONFIGS / folder).glob("*.yaml"))


def test_all_are_there() -> None:
    names = {path.stem for path in RECIPES}
    kinds = {"digits_mlp", "digits_cnn", "digits_transfer", "mnist_mlp", "mnist_cnn", "fashion_mlp", "fashion_cnn"}
    assert names >= kinds | {"folder_cnn", "folder_transfer"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_parses_and_says_only_what_differs(recipe: Path) -> None:
    resolved = resolve(["--config", str(recipe)], companions())
    written = yaml.safe_load(recipe.read_text())
    assert next(iter(written)) == "data"
    for section in ("data", "model"):
        assert resolved[section]["class_path"].endswith(written[section]["class_path"])
        assert "." not in written[section]["class_path"]
    assert written["trainer"]["max_epochs"] == resolved["trainer"]["max_epochs"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_a_card(recipe: Path) -> None:
    lines = recipe.read_text().splitlines()
    card = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    assert len(lines) <= 30
    assert f"fit --config configs/{recipe.name}" in card
    assert re.search(r"\d+(\.\d+)? %", card)  # an accuracy
    assert re.search(r"seeds? 0", card)
    assert re.search(r"\d+ (s|min)\b", card)


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_overlay_parses_on_a_recipe_and_says_how_to_use_it(overlay: Path) -> None:
    resolve(["--config", str(CONFIGS / "digits_mlp.yaml"), "--config", str(overlay)], companions())
    assert overlay.read_text().startswith("#")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("overlay", ["gpu", "ddp", "fsdp"])
def test_overlay_trains_on_the_gpus_of_this_machine(overlay: str, workspace: Path) -> None:
    configs = [CONFIGS / "digits_cnn.yaml", CONFIGS / "trainer" / f"{overlay}.yaml", CONFIGS / "trainer" / "debug.yaml"]
    words = [sys.executable, "-m", "{{cookiecutter.package}}", "fit"]
    words += [f"--config={config}" for config in configs]
    result = subprocess.run(words, cwd=workspace, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
