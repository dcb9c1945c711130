"""Exports every recipe and seven backbones, and prints the table of docs/export.md; needs CLASSIFIER_DATA.

    .venv/bin/python benchmarks/exports.py

Recipes are trained for two batches, and backbones with random weights for 18: whether an export agrees with its
checkpoint does not depend on the accuracy.
Photographs are 60 of ants and bees, 24 of them for training.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "build" / "project" / "image-classifier"
BACKBONES = (
    "timm/efficientnet_lite0",
    "mobilenet_v3_large",
    "resnet18",
    "resnet50",
    "convnext_tiny",
    "vit_b_16",
    "swin_t",
)
BRIEF = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--report", "false"]
BRIEF += ["--tracking.wandb", "off", "--trainer.accelerator", "cpu"]


def command(*words: str) -> str:
    """Run the generated project's command line; returns what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    line = [sys.executable, "-m", "image_classifier", *words]
    result = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    if result.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def link_photographs(data: Path) -> None:
    """60 photographs of two classes: 24 for training, 18 for validation and 18 for the test."""
    for name in ("ants", "bees"):
        files = sorted((data / "hymenoptera" / "val" / name).glob("*.jpg"))
        for split, part in (("train", files[:12]), ("val", files[12:21]), ("test", files[21:30])):
            folder = Path("photos", split, name)
            folder.mkdir(parents=True)
            for file in part:
                (folder / file.name).symlink_to(file)


def row(name: str, words: list[str]) -> str:
    """Train briefly, export, and return a row of the table."""
    run = Path(command("fit", *BRIEF, *words).splitlines()[-1])
    command("export", "--ckpt", str(run))
    description = json.loads((run / "export" / "model.json").read_text(encoding="utf-8"))
    models = json.loads((run / "export" / "parity.json").read_text(encoding="utf-8"))["models"]
    cells = [f"{(run / 'export' / file).stat().st_size / 1e6:.3g}" for file in models]
    for proof in models.values():
        agreement = f"{proof['num_same_class'] + proof['num_ties']:,} of {proof['num_images']:,}"
        cells += [agreement, f"{proof['largest_difference']:.0e}"]
    side = description["decoding"]["image_size"]
    return f"| {name} | {side} | {' | '.join(cells)} |"


def main() -> None:
    data = Path(os.environ["CLASSIFIER_DATA"]).resolve()
    configs = PROJECT / "configs"
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        link_photographs(data)
        columns = ["recipe or backbone", "pixels", "ONNX, MB", "pt2, MB", "ONNX: same class", "difference"]
        print(f"| {' | '.join([*columns, 'pt2: same class', 'difference'])} |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for recipe in sorted(configs.glob("*.yaml")):
            settings = yaml.safe_load(recipe.read_text(encoding="utf-8"))
            words = ["--config", str(recipe)]
            if "Digits" not in settings["data"]["class_path"]:
                words += ["--data.root", "photos" if "Folder" in settings["data"]["class_path"] else str(data)]
            if "Transfer" in settings["model"]["class_path"]:
                words += ["--model.weights", "package"]
            print(row(f"`{recipe.stem}`", words), flush=True)
        for backbone in BACKBONES:
            words = ["--config", str(configs / "folder_transfer.yaml"), "--data.root", "photos"]
            words += ["--data.image_size", "224", "--model.backbone", backbone, "--model.weights", "none"]
            # Until batch norm has statistics of images: before, a network answers the same for all of them.
            words += ["--model.head_epochs", "0", "--data.batch_size", "8", "--trainer.limit_train_batches", "1.0"]
            words += ["--trainer.max_epochs", "6"]
            print(row(f"`{backbone}`, random weights", words), flush=True)


if __name__ == "__main__":
    main()
