import csv
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from {{cookiecutter.package}}.cli import main

from ...conftest import write_images

DATA = Path(os.environ.get("CLASSIFIER_DATA", "nowhere"))


@pytest.fixture
def messy(workspace: Path) -> Path:
    """A broken file, a copy in the test split, and an image under two labels."""
    for seed, name in enumerate(("ant <b>", "bee")):
        for number in range(30):
            pixels = np.random.default_rng([seed, number]).integers(0, 256, (6, 8, 3), dtype=np.uint8)
            folder = workspace / "messy" / ("test" if number >= 25 else "train") / name
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).resize((64, 48), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
    root = workspace / "messy"
    (root / "train" / "bee" / "broken.jpg").write_text("no image")
    shutil.copy(root / "train" / "bee" / "1.jpg", root / "test" / "bee" / "copy.jpg")
    shutil.copy(root / "train" / "bee" / "2.jpg", root / "train" / "ant <b>" / "2 again.jpg")
    return root


def status(*words: str) -> int:
    try:
        main(["audit", *words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def rows() -> list[dict[str, str]]:
    with Path("audit", "audit.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


class Page(HTMLParser):
    """Counts the thumbnails, and keeps the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.num_images, self.text = 0, ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.num_images += tag == "img"
        assert tag != "b", "the name of a class is not escaped"

    def handle_data(self, data: str) -> None:
        self.text += data


def test_prints_some_findings_of_a_kind(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(10, 18):
        shutil.copy(messy / "train" / "bee" / f"{number}.jpg", messy / "train" / "bee" / f"{number} again.jpg")
    status(str(messy))
    printed = capsys.readouterr().out
    assert len(re.findall(r"^\w+ +duplicate: ", printed, re.MULTILINE)) == 5
    assert "duplicate: 3 more findings in audit.csv" in printed
    assert len({row["finding"] for row in rows() if row["kind"] == "duplicate"}) == 8


@pytest.mark.usefixtures("messy")
def test_table_page_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("messy") == 2
    shown = capsys.readouterr().out
    assert "duplicate across splits" in shown
    assert shown.splitlines()[-1] == "audit/audit.html"
    found = rows()
    assert {(row["kind"], row["path"]) for row in found if row["severity"] == "error"} == {
        ("unreadable", "train/bee/broken.jpg"),
        ("duplicate across splits", "train/bee/1.jpg"),
        ("duplicate across splits", "test/bee/copy.jpg"),
        ("duplicate, two labels", "train/bee/2.jpg"),
        ("duplicate, two labels", "train/ant <b>/2 again.jpg"),
    }
    page = Page(Path("audit", "audit.html").read_text(encoding="utf-8"))
    assert page.num_images == 4 + 2 * 6  # of the findings, and of the samples
    assert "train/ant <b>/2 again.jpg" in page.text
    assert "3 errors" in page.text
    assert "ant <b>26531" in page.text  # train, test, all
    assert "No folder val" in page.text


def test_quarantine_and_the_way_back(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: (messy / path).read_bytes() for path in files(messy)}
    assert status("messy", "--quarantine", "aside") == 2
    assert files(Path("aside")) == {"quarantine.csv", "train/bee/broken.jpg", "train/bee/1.jpg"}
    assert status("messy") == 2  # an image under two labels is for a person to decide
    assert {row["kind"] for row in rows() if row["severity"] == "error"} == {"duplicate, two labels"}
    assert status("messy", "--restore", "aside") == 0
    assert "2 files moved back" in capsys.readouterr().out
    assert {path: (messy / path).read_bytes() for path in files(messy)} == before


def test_nothing_is_written_over(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status("messy", "--quarantine", "aside")
    (messy / "train" / "bee" / "1.jpg").write_text("taken")
    capsys.readouterr()
    assert status("messy", "--restore", "aside") == 2
    assert "1.jpg' exists" in capsys.readouterr().err
    assert (messy / "train" / "bee" / "1.jpg").read_text() == "taken"
    assert (Path("aside") / "train" / "bee" / "broken.jpg").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "'nowhere', which is not a folder"),
        (["messy", "--quarantine", "messy/aside"], "which is inside 'messy'"),
        (["messy", "--output", "messy/train/bee/1.jpg"], "1.jpg', which cannot be written: File exists"),
        (["messy", "--restore", "nowhere"], "has no quarantine.csv"),
        (["messy", "--restore", "a", "--quarantine", "b"], "not allowed with"),
        ([], "the following arguments are required: root"),
    ],
)
def test_mistakes_are_explained(
    messy: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    before = files(messy)
    assert status(*words) == 2
    assert message in capsys.readouterr().err
    assert files(messy) == before


@pytest.fixture
def clean(workspace: Path) -> Path:
    shapes = [(seed, name) for seed, name in enumerate(("ant", "bee"))]
    for seed, name in shapes:
        for number in range(25):
            pixels = np.random.default_rng([seed, number]).integers(0, 256, (6, 8, 3), dtype=np.uint8)
            (workspace / "clean" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).resize((64, 48)).save(workspace / "clean" / name / f"{number}.png")
    return workspace / "clean"


def test_status_of_a_clean_folder_and_of_warnings(clean: Path) -> None:
    assert status("clean", "--output", "elsewhere") == 0
    assert files(Path("elsewhere")) == {"audit.csv", "audit.html"}
    page = Page(Path("elsewhere", "audit.html").read_text(encoding="utf-8"))
    assert "No problems found." in page.text
    assert "0 errors" not in page.text
    assert page.num_images == 2 * 6
    write_images(clean / "few", 3, (200, 10, 10))
    assert status("clean") == 1


@pytest.mark.skipif(not (DATA / "hymenoptera").is_dir(), reason="CLASSIFIER_DATA names no hymenoptera")
@pytest.mark.usefixtures("workspace")
def test_real_photographs() -> None:
    """Among them is the GIF that a site sent instead of a photograph: the image was not found."""
    assert status(str(DATA / "hymenoptera")) == 1
    placeholders = [row for row in rows() if "imageNotFound" in row["path"]]
    assert "warning" in {row["severity"] for row in placeholders}


def test_paths_are_not_wrapped(messy: Path, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = messy / "train" / "bee" / f"{200 * 'b'}.jpg"
    broken.write_text("no image")
    assert status(str(messy), "--output", str(workspace / (200 * "a"))) == 2
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert broken.relative_to(messy).as_posix() in lines
    assert lines[-1] == str(workspace / (200 * "a") / "audit.html")
