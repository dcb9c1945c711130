"""Every shell and Python block of README, docs and the generated README runs, or another test is named that runs it.

The blocks of a page run in their order, in one process, on small photographs. Trainings take the debug overlay,
and photographs are 32 pixels wide.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from baking import PROJECT_TREE, TEMPLATE
from PIL import Image

PAGES = [TEMPLATE / "README.md", TEMPLATE / "CONTRIBUTING.md", PROJECT_TREE / "README.md", *TEMPLATE.glob("docs/*.md")]
PAGES += TEMPLATE.glob("docs/learn/[!0-9]*.md")  # tests/test_lessons.py runs the lessons
BLOCK = re.compile(r"^ *```(?P<language>bash|python)\n(?P<text>.*?)^ *```", re.MULTILINE | re.DOTALL)
LOOP = re.compile(r"^for (\w+) in ([^;]*); do\n(.*?)^done\n", re.MULTILINE | re.DOTALL)
PROGRAM = "image-classifier"
# The runs that the pages name, and their options.
RECIPES = {"folder_probe": ["--data.root", "photos", "--data.image_size", "32"], "mnist_cnn": [], "digits_cnn": []}

# What is not run here, and why, or which test runs it.
ELSEWHERE = {
    r"^(make|pytest|pre-commit|cookiecutter|source|cd) ?": "the template's own commands, which these tests are part of",
    r"^uvx cookiecutter": "tests/test_answers.py bakes; a repository on GitHub is not reachable",
    r"^(uv venv|uv pip|uv sync|python -m venv|pip install)": "tests/test_packages.py installs",
    r"lessons/": "tests/test_lessons.py runs scripts and notebooks; JupyterLab is not installed here",
    r"^uv run (pytest|pre-commit)": "the project's own tests; tests/test_quality.py runs the hooks",
    r"torchrun\.sh": "tests/engine/test_several_processes.py of the project",
    r"^sbatch": "tests/test_slurm.py",
    r"image-classifier demo": "tests/tools/demo of the project opens the page in a browser",
    r"^python \S*predictor\.py": "tests/test_export.py",
    r"export .*--(int8|page)": "tests/tools/export of the project; few images prove little, and the page needs npm",
    r"deploy/serve\.py|http://127\.0\.0\.1": "tests/deploy of the project starts the server and sends requests",
    r"^docker ": "tests/deploy/test_dockerfile.py of the project runs the lines of the Dockerfile without Docker",
    r"s3://": "tests/data/test_streaming.py of the project, with a server",
    r"wandb (sweep|agent)": "needs an account; tests/test_sweeps.py of the project checks the files",
    r"trainer/(gpu|ddp|multinode)\.yaml": "needs GPUs; tests/test_recipes.py of the project has them for such machines",
    r"--trainer\.devices 2": "tests/engine/test_several_processes.py of the project",
}

RUNNER = """
import json, re, sys, traceback
from pathlib import Path
from image_classifier.cli import main

def newest(folder):
    runs = [file.parent for file in Path(folder).rglob("summary.json")]
    return str(max(runs, key=lambda run: (run / "status.json").stat().st_mtime))

def filled(text):
    text = re.sub(r"(runs/\\w+)/DATE-TIME", lambda found: newest(found[1]), text)
    return newest("runs/folder_probe") if text == "RUN" else text

def stop(run):
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"state": "stopped"}))

names = {}
for language, content in json.loads(Path(sys.argv[1]).read_text()):
    try:
        if language == "python":
            exec(filled(content), names)
            continue
        words = [filled(word) for word in content]
        if "--resume" in words:  # a finished run counts as stopped at its end
            stop(Path(newest(words[-1] if words[-1] != "last" else "runs")))
        main(words)
    except SystemExit as end:
        if end.code and content[0] != "audit":  # whose status says what it found
            sys.exit(f"status {end.code}: {content}")
    except BaseException:
        traceback.print_exc()
        sys.exit(f"failed: {content}")
"""


def blocks_of(page: Path) -> list[tuple[str, str]]:
    text = page.read_text(encoding="utf-8")
    text = text.replace("{{ cookiecutter.project }}", PROGRAM).replace("{{ cookiecutter.package }}", "image_classifier")
    return [(found["language"], found["text"]) for found in BLOCK.finditer(text)]


def commands_of(text: str) -> list[list[str]]:
    """The words of each command of a shell block; a loop over words is written out."""
    written = LOOP.sub(lambda loop: "".join(loop[3].replace(f"${loop[1]}", word) for word in loop[2].split()), text)
    lines = (shlex.split(line, comments=True) for line in written.replace("\\\n", " ").splitlines())
    return [words for words in lines if words]


def is_elsewhere(words: list[str]) -> bool:
    return any(re.search(pattern, " ".join(words)) for pattern in ELSEWHERE)


def steps_of(page: Path) -> list[tuple[str, object]]:
    """What to run of a page: Python, and words after the name of the program."""
    steps: list[tuple[str, object]] = []
    for language, text in blocks_of(page):
        if language == "python":
            steps.append((language, textwrap.dedent(text)))
            continue
        for command in commands_of(text):
            if is_elsewhere(command):
                continue
            assert PROGRAM in command, f"{page.name}: say in ELSEWHERE which test runs {command}"
            words = command[command.index(PROGRAM) + 1 :]
            if words[0] == "fit" and not {"--help", "--help-all", "--resume"} & set(words):
                words += ["--config", "configs/trainer/debug.yaml"]
                words += ["--data.image_size", "32"] if "folder" in " ".join(words) else []
            if words[0] == "tune":
                words += ["--trials", "1", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]
            steps.append((language, words))
    return steps


def write_photos(folder: Path, classes: dict[str, tuple[int, int, int]], number: int) -> None:
    generator = np.random.default_rng(number)  # other numbers give other images
    for name, colour in classes.items():
        (folder / name).mkdir(parents=True)
        for position in range(number):
            pixels = np.clip(generator.normal(0, 30, (40, 40, 3)) + np.array(colour), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{position}.png")


def write_idx(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    file.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def project(default_bake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the folders and the runs that the pages name."""
    copy = shutil.copytree(default_bake, tmp_path_factory.mktemp("commands") / PROGRAM)
    colours = {"ant": (120, 40, 30), "bee": (220, 190, 40)}
    write_photos(copy / "photos", colours, 24)
    write_photos(copy / "more-photos", colours, 20)
    for name in ("photos-of-today", "new_photos", "archive"):
        write_photos(copy / name, {"unknown": (90, 90, 90)}, 3)
    write_photos(copy / "scans", {"unknown": (9, 9, 9)}, 3)
    generator = np.random.default_rng(0)
    for name in ("MNIST", "FashionMNIST"):
        for part, count in (("train", 200), ("t10k", 20)):
            folder = copy / "data" / name / "raw"
            write_idx(folder / f"{part}-images-idx3-ubyte", generator.integers(0, 256, (count, 28, 28)))
            write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    debug = ["--config", "configs/trainer/debug.yaml"]
    run(copy, [("bash", ["fit", recipe, *debug, *words]) for recipe, words in RECIPES.items()])
    return copy


def run(project: Path, steps: list[tuple[str, object]]) -> None:
    (project / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "WANDB_MODE": "disabled"}
    words = [sys.executable, "-c", RUNNER, "steps.json"]
    result = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(TEMPLATE).as_posix())
def test_page(page: Path, project: Path, tmp_path: Path) -> None:
    if page.name == "extending.md":
        pytest.skip("tests/test_extending.py applies and runs it")
    text = page.read_text(encoding="utf-8")
    is_named = {"digits_cnn": True, "folder_probe": "RUN" in text}
    unnamed = {name for name in RECIPES if not is_named.get(name) and f"{name}/DATE-TIME" not in text}
    copy = shutil.copytree(project, tmp_path / PROGRAM, ignore=lambda _, names: unnamed & set(names))
    prelude = "import torch; images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)"  # of the size of folder_probe
    run(copy, [("python", prelude), *steps_of(page)])


def test_every_reason_is_used() -> None:
    blocks = [text for page in PAGES for language, text in blocks_of(page) if language == "bash"]
    commands = [" ".join(words) for text in blocks for words in commands_of(text)]
    assert [pattern for pattern in ELSEWHERE if not any(re.search(pattern, command) for command in commands)] == []
