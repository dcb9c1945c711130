"""What the campaigns share: a folder of photographs, and two trained runs, which no case may change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from {{cookiecutter.package}}.cli import companions

from ..conftest import write_photos
from .campaign import judge, run

OFF = [option for companion in companions() for option in companion.off]
CPU = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
DIGITS = ["--data", "DigitsDataModule", "--model", "MLPClassifier", "--model.hidden_sizes", "[8]"]
PHOTOS = ["--data", "ImageFolderDataModule", "--data.image_size", "16", "--data.batch_size", "8"]
CNN = ["--model", "CNNClassifier", "--model.widths", "[8]"]


def contents(folder: Path) -> dict[Path, bytes]:
    """The files below a folder that no run writes again, and what they contain."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".html")
    return {path: path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Path]]:
    """Paths that cases name: ``$photos`` and ``$run`` (a CNN trained on them), ``$digits`` (a run), and ``$runs``."""
    folder = tmp_path_factory.mktemp("hostile")
    write_photos(folder / "photos")
    for name, words in {"photos": [*PHOTOS, "--data.root", str(folder / "photos"), *CNN], "digits": DIGITS}.items():
        directory = ["--run.directory", str(folder / "runs" / name / "1")]
        outcome = run(["fit", *words, *CPU, *OFF, *directory, "--trainer.max_epochs", "1"], folder, seconds=120)
        assert judge(outcome, statuses=[0]) == []
    before = contents(folder)
    yield {
        "photos": folder / "photos",
        "image": folder / "photos" / "red" / "image 0.png",
        "run": folder / "runs" / "photos" / "1",
        "digits": folder / "runs" / "digits" / "1",
        "runs": folder / "runs",
    }
    assert contents(folder) == before
