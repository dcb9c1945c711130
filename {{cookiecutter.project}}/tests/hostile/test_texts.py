"""Texts from outside: configs and sweeps of any encoding, size and depth; names and consoles that are not UTF-8."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from .campaign import Case, run, try_case

RECIPE = "data: DigitsDataModule\nmodel: MLPClassifier\n"
LAUGHS = "\n".join(f"a{n}: &a{n} [{', '.join(9 * [f'*a{n - 1}'])}]" if n else "a0: &a0 [ha]" for n in range(12))
FLOW = "trainer: " + 20_000 * "[" + 20_000 * "]"
BLOCK = "\n".join(f"{n * ' '}a:" for n in range(600))

# Contents of a config file, and words of the message.
CONTENTS: list[tuple[str | bytes, list[str]]] = [
    (f"# été\n{RECIPE}".encode("latin-1"), ["recipe.yaml", "not UTF-8", "0xe9"]),
    (RECIPE.encode("utf-16"), ["recipe.yaml", "not UTF-8"]),
    (RECIPE.encode("utf-16-le"), ["recipe.yaml"]),
    (RECIPE.encode("utf-32"), ["recipe.yaml", "not UTF-8"]),
    (bytes(range(256)), ["recipe.yaml"]),
    (b"\x89PNG\r\n\x1a\n" + bytes(100), ["recipe.yaml", "not UTF-8"]),
    (b"\0" * 100, ["recipe.yaml"]),
    (RECIPE.replace(":", ":\0").encode(), ["recipe.yaml"]),
    (b"a: " + 2_000_000 * b"x", ["recipe.yaml", "2,000,003 bytes"]),
    (LAUGHS, ["recipe.yaml", "too many values"]),
    (FLOW, ["recipe.yaml", "nest"]),
    (BLOCK, ["recipe.yaml", "too deeply"]),
    ("a: &a [*a]", ["recipe.yaml", "contains itself"]),
    ("a: &a {b: *a}", ["recipe.yaml", "contains itself"]),
    ("a: *b", ["recipe.yaml", "not valid YAML"]),
    ("trainer: &t {max_epochs: 1}\nmodel: &m {<<: *m}", ["recipe.yaml"]),
    ("a: [", ["recipe.yaml", "line 2"]),
    ("a: b: c", ["recipe.yaml", "line 1"]),
    ("\ta: 3", ["recipe.yaml", "line 1"]),
    ("a: 'x", ["recipe.yaml", "not valid YAML"]),
    ("%YAML 9.9\n---\na: 3", ["recipe.yaml"]),
    ("a: 1\n---\nb: 2", ["recipe.yaml", "not valid YAML"]),
    ("--- !!python/object/apply:os.system [touch hacked]", ["recipe.yaml", "tag"]),
    ("model: !!python/name:os.system", ["recipe.yaml", "tag"]),
    ("trainer: !x {}", ["recipe.yaml", "tag"]),
    ("date: 2026-99-99", ["recipe.yaml"]),
    ("", ["recipe.yaml", "no sections"]),
    ("# nothing", ["recipe.yaml", "no sections"]),
    ("3", ["recipe.yaml", "no sections: 3"]),
    ("[]", ["recipe.yaml", "no sections"]),
    ("text", ["recipe.yaml", "'text'"]),
    ("{? [1]: 2}", ["recipe.yaml", "not valid YAML"]),
    ("1: 2", ["recipe.yaml", "section 1"]),
    ("null: 2", ["recipe.yaml", "must be text"]),
    ("true: 2", ["recipe.yaml", "must be text"]),
    ("config: other.yaml", ["recipe.yaml", "--config"]),
    ("trainer: null", ["trainer is null"]),
    ("trainer: 3", ["trainer is 3"]),
    ("trainer: [3]", ["trainer is [3]"]),
    ("trainer: other.yaml", ["trainer is 'other.yaml'"]),
    ("run: 3", ["run is 3"]),
    ("run: null", ["run is null"]),
    ("early_stopping: []", ["early_stopping is []"]),
    ("averaging: yes", ["averaging is True"]),
    ("tracking: off", ["tracking is False"]),
    (RECIPE + "seed_everything: null", ["seed_everything is null"]),
    (RECIPE + "seed_everything: -1", ["seed_everything is -1"]),
    (RECIPE + "seed_everything: '-1'", ["seed_everything is -1"]),
    (RECIPE + "seed_everything: [1]", ["seed_everything is "]),
    (RECIPE + "compile: null", ["compile is null"]),
    (RECIPE + "monitor: null", ["monitor is null"]),
    (RECIPE + "feature_views: null", ["feature_views is null"]),
    (RECIPE + "run: {name: 3}", ["run.name is 3"]),
    (RECIPE + "run: {root: null}", ["run.root is null"]),
    (RECIPE + "unknown: 3", ["no option 'unknown'"]),
    (RECIPE + "trainer: {max_epoch: 3}", ["'max_epoch'", "trainer.max_epochs"]),
    (RECIPE + "trainer: {max_epochs: null, max_steps: null}", ["trainer.max_steps is null"]),
    (RECIPE + "trainer: {limit_val_batches: 0}", ["trainer.limit_val_batches is 0"]),
    (RECIPE + "trainer: {callbacks: Nothing}", ["trainer.callbacks is 'Nothing'", "Callback"]),
    (RECIPE + "trainer: {callbacks: [Nothing]}", ["trainer.callbacks is "]),
    (RECIPE + "trainer: {callbacks: [3]}", ["trainer.callbacks is "]),
    (RECIPE + "trainer: {callbacks: [{class_path: Nothing}]}", ["trainer.callbacks is "]),
    (RECIPE + "trainer: {callbacks: {class_path: torch.nn.ReLU}}", ["trainer.callbacks is "]),
    (RECIPE + "trainer: {callbacks: [EarlyStopping]}", ["EarlyStopping cannot be created", "monitor"]),
    (RECIPE + "trainer: {callbacks: [LearningRateFinder]}", ["LearningRateFinder, which does", "doctor --lr"]),
    (RECIPE + "trainer: {callbacks: StochasticWeightAveraging}", ["trainer.callbacks", "swa_lrs"]),
    (RECIPE + "trainer: {callbacks: {init_args: {x: 3}}}", ["trainer.callbacks", "'x'"]),
    ("data: DigitsDataModule\nmodel: [MLPClassifier]", ["model is "]),
    ("data: DigitsDataModule\nmodel: 3", ["model is '3'"]),
    ("data: DigitsDataModule\nmodel: null", ["model"]),
    ("data: DigitsDataModule\nmodel: {class_path: 3}", ["model is "]),
    ("data: DigitsDataModule\nmodel: {class_path: null}", ["model is "]),
    ("data: DigitsDataModule\nmodel: {class_path: MLPClassifier, init_args: 3}", ["model is 3"]),
    ("data: DigitsDataModule\nmodel: {class_path: MLPClassifier, init_args: {optimizer: 3}}", ["model.optimizer is 3"]),
    (
        "data: DigitsDataModule\nmodel: {class_path: MLPClassifier, init_args: {optimizer: null}}",
        ["model.optimizer is "],
    ),
    (
        "data: DigitsDataModule\nmodel: {class_path: MLPClassifier, init_args: {dropout: null}}",
        ["model.dropout is null"],
    ),
    ("data: DigitsDataModule\nmodel: {class_path: MLPClassifier, init_args: {monitor: val/acc}}", ["model.monitor"]),
    ("data: DigitsDataModule\nmodel: {class_path: MLPClassifier, init_args: {facts: {}}}", ["model.facts"]),
    (
        "data: DigitsDataModule\nmodel: {class_path: MLPClassifier, init_args: {hidden_sizes: [1000000000]}}",
        ["model.hidden_sizes is "],
    ),
    (
        "data: {class_path: DigitsDataModule, init_args: {batch_size: null}}\nmodel: MLPClassifier",
        ["data.batch_size is null"],
    ),
    (
        "data: {class_path: DigitsDataModule, init_args: {batch_size: '8 images'}}\nmodel: MLPClassifier",
        ["data.batch_size is '8 images'"],
    ),
    (
        "data: {class_path: DigitsDataModule, init_args: {batch_size: .nan}}\nmodel: MLPClassifier",
        ["data.batch_size is nan"],
    ),
    ("data: {class_path: DigitsDataModule, extra: 3}\nmodel: MLPClassifier", ["'extra'"]),
    ("data: {class_path: os.system}\nmodel: MLPClassifier", ["os.system"]),
    ("data: &d DigitsDataModule\nmodel: *d", ["model is 'DigitsDataModule'"]),
]


def write(content: str | bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / "recipe.yaml").write_bytes(
        content.encode() if isinstance(content, str) else content
    )


@pytest.mark.parametrize(("content", "expected"), CONTENTS, ids=[str(content)[:60] for content, _ in CONTENTS])
def test_config(content: str | bytes, expected: list[str], tmp_path: Path, paths: Mapping[str, Path]) -> None:
    start = time.monotonic()
    case = Case(
        "fit --config recipe.yaml --trainer.accelerator cpu --tracking.wandb off", expected, prepare=write(content)
    )
    assert try_case(case, tmp_path, paths) == []
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
    assert time.monotonic() - start < 9  # bounded, where its expansion would take hours


@pytest.mark.parametrize(
    ("content", "expected"), CONTENTS[:31], ids=[str(content)[:60] for content, _ in CONTENTS[:31]]
)
@pytest.mark.parametrize("command", ["tune --sweep recipe.yaml", "test --ckpt $digits --config recipe.yaml"])
def test_other_verbs(
    command: str, content: str | bytes, expected: list[str], tmp_path: Path, paths: Mapping[str, Path]
) -> None:
    words = [word for word in expected if word == "recipe.yaml" or word in {"not UTF-8", "too many values"}]
    assert try_case(Case(command, words, prepare=write(content)), tmp_path, paths) == []


def test_other_files_as_config(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    for given, words in {
        "$run/checkpoints/best.ckpt": ["best.ckpt", "a checkpoint"],
        "$run/outputs.npz": ["an archive"],
        "$photos": ["--config is ", "photos"],
        "$image": ["not UTF-8"],
        "/dev/null": ["--config is "],
        "/dev/zero": ["--config is "],
        300 * "n": ["--config is "],
        "$run/metrics.csv": ["--config is "],
        "$run/status.json": ["no option"],
    }.items():
        assert try_case(Case(f"fit --config {given}", words), tmp_path, paths) == []
    os.mkfifo(tmp_path / "pipe.yaml")
    assert try_case(Case("fit --config pipe.yaml", ["not a regular file"]), tmp_path, paths) == []


LATIN = "caf\udce9"  # the bytes of Latin-1, as Python gives them

# Where a name of the folder of photographs is not UTF-8, each verb refuses it and shows its bytes.
BYTE_NAMES = {
    "file": lambda root: (root / "red" / "image 1.jpg").rename(root / "red" / f"{LATIN}.jpg"),
    "class": lambda root: (root / "red").rename(root / LATIN),
    "root": lambda root: root.rename(root.parent / LATIN),
}


@pytest.mark.parametrize("place", BYTE_NAMES)
@pytest.mark.parametrize(
    "command",
    [
        "fit --data ImageFolderDataModule --data.image_size 16 --model MLPClassifier --data.root ",
        "audit ",
        "split ",
        "pack --image_size 16 packed ",
    ],
)
def test_names_that_are_not_utf8(command: str, place: str, tmp_path: Path, paths: Mapping[str, Path]) -> None:
    shutil.copytree(paths["photos"], tmp_path / "photos")
    BYTE_NAMES[place](tmp_path / "photos")
    root = LATIN if place == "root" else "photos"
    words = [*command.split(), root]
    if command.startswith("pack"):
        words = ["pack", root, "packed", "--image_size", "16"]
    for encoding in ("utf-8", "ascii"):
        assert try_case(Case(words, ["caf\\xe9", "not UTF-8"], encoding=encoding), tmp_path, paths) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [root]


CONSOLES = ["ascii", "latin-1", "cp437", "cp1252", "koi8-r", "utf-16"]
SHOWN = [
    "--help",
    "fit --help",
    "predict --help",
    "compare $runs",
    "audit $photos",
    "split $photos --output splits.csv",
    "test --ckpt $digits",
    "predict --ckpt $run $image",
    "report $digits --output page.html",
    "fit --data DigitsDataModule --model 'MLP été 藍'",
    "split '写真'",
]


@pytest.mark.parametrize("command", SHOWN)
@pytest.mark.parametrize("encoding", CONSOLES)
def test_consoles(command: str, encoding: str, tmp_path: Path, paths: Mapping[str, Path]) -> None:
    assert try_case(Case(command, status=(0, 1, 2), encoding=encoding), tmp_path, paths) == []


def test_unshowable_class_names_are_escaped(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    shutil.copytree(paths["photos"], tmp_path / "photos")
    (tmp_path / "photos" / "red").rename(tmp_path / "photos" / "été 藍")
    command = ["split", "photos"]
    outcome = run(command, tmp_path, encoding="ascii")
    assert outcome.status == 0
    assert r"\xe9t\xe9 \u85cd" in outcome.out
    assert "été 藍" in (tmp_path / "photos" / "splits.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", ["compare $runs", "audit $photos", "split $photos --output splits.csv --folds 3"])
def test_the_reader_may_leave(words: str, tmp_path: Path, paths: Mapping[str, Path]) -> None:
    """As ``head -1`` does, before anything is printed: no error, and all files are written."""
    given = [word.replace("$", "") if "$" not in word else str(paths[word[1:]]) for word in words.split()]
    command = [sys.executable, "-m", "image_classifier", *given]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode in {0, 1}
    assert [line for line in errors.splitlines() if "rror" in line] == []
    assert [path.name for path in tmp_path.iterdir() if path.suffix in {".html", ".csv"} or path.name == "audit"]
