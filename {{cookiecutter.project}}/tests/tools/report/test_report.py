"""Through the real entry point: fit writes the page, report makes it again from what is there."""

import csv
import json
import logging
import re
import shutil
import sys
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

import pytest

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.data import DATA_MODULES
from {{cookiecutter.package}}.engine.record import read_run
from {{cookiecutter.package}}.tools.report.report import COMPANION

from ...conftest import COLOURS, Fit, write_images

VOID = {"meta", "img", "br", "input", "link"}


class Page(HTMLParser):
    """Keeps tags, text and pictures; a page is well formed, and loads and runs nothing."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.tags: list[str] = []
        self.open: list[str] = []
        self.num_pictures, self.text = 0, ""
        self.texts: dict[str, list[str]] = defaultdict(list)  # by tag
        self.feed(file.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open += [] if tag in VOID else [tag]
        self.num_pictures += tag == "img"
        assert tag not in {"script", "link", "iframe", "object"}
        for name, value in attrs:
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href"}:
                assert str(value).startswith(("#", "data:image/"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        self.texts[self.open[-1] if self.open else ""].append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", self.text)


def run_report(*words: str) -> int:
    try:
        main(["report", *words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def page_of_fit(fit: Fit, *options: str, epochs: int = 2) -> Page:
    return Page(fit("--report", "true", *options, epochs=epochs) / "report.html")


def test_fit_writes_it_and_report_repeats_it(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit("--report", "true", "--model.optimizer.lr", "0.01", epochs=3)
    first = (run / "report.html").read_text(encoding="utf-8")
    given = run.relative_to(Path.cwd())
    assert run_report(str(given)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(given / "report.html")
    again = (run / "report.html").read_text(encoding="utf-8")
    date = re.compile(r"report of [-\d: ]+")
    assert date.sub("", first) == date.sub("", again)


def test_what_is_in_it(fit: Fit) -> None:
    page = page_of_fit(fit, "--model.optimizer.lr", "0.01", epochs=8)
    assert "100.0 % of 9 test images are classified correctly" in page.words
    assert "interval 70.1 % to 100.0 %" in page.words
    assert "It covers the sampling of the 9 test images only" in page.words
    assert re.search(r"ImageFolderDataModule, \S*photos", page.words)
    assert "43 training, 8 validation, 9 test" in page.words
    assert "predicted class true class" in page.words
    assert "kept: epoch 0" not in page.words
    assert "Confident learning" in page.words or "by confident learning" in page.words
    for word in ("How this was decided", "kept: epoch", "macro-F1", "target coverage", "max_epochs: 8", "torch=="):
        assert word in page.words
    assert f"fit --config {page.file.with_name('config.yaml').relative_to(Path.cwd())}" in page.words
    assert page.tags.count("svg") == 7
    assert "3 classes have fewer than 10 test images, so their metrics are not reliable: " in page.words
    assert page.num_pictures >= 9  # of the least certain, at least
    assert page.file.stat().st_size < 3e6


def test_metrics_that_a_team_adds(fit: Fit) -> None:
    run = fit()
    with (run / "metrics.csv").open(newline="") as stream:
        rows = [row | {"val/top<5>": str(0.25 + number)} for number, row in enumerate(csv.DictReader(stream))]
    with (run / "metrics.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"test/top<5>": 0.98765, "test/kappa": 0.54321}))
    assert run_report(str(run)) == 0
    page = Page(run / "report.html")
    assert page.tags.count("svg") == 6
    assert page.texts["h3"][:6] == ["Loss", "Accuracy", "Learning rate", "Balanced accuracy", "Macro-F1", "top<5>"]
    assert page.texts["th"][:4] == ["metric", "training", "validation", "test"]
    cells, kept = page.texts["td"], min(rows, key=lambda row: float(row["val/loss"]))
    assert cells[: 6 * 4 : 4] == ["loss", "acc", "balanced_acc", "f1", "kappa", "top<5>"]
    assert cells[4 * 4 : 6 * 4] == [
        "kappa",
        "-",
        "-",
        "0.5432",
        "top<5>",
        "-",
        f"{float(kept['val/top<5>']):.4f}",
        "0.9877",
    ]


def test_the_hook_of_fit(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    run = read_run(fit(), DATA_MODULES)
    COMPANION.is_asked = True
    with caplog.at_level(logging.INFO):
        COMPANION.conclude(run, run.data)
    assert caplog.messages[-1] == f"report: {run.directory.relative_to(Path.cwd()) / 'report.html'}"
    assert Page(run.directory / "report.html").num_pictures >= 9
    assert re.match(r"diagnosis: \w+", COMPANION.lines(run)[0])
    (run.directory / "report.html").unlink()
    (run.directory / "outputs.npz").write_bytes(b"")
    COMPANION.conclude(read_run(run.directory, DATA_MODULES), run.data)
    assert "The report could not be written (UserError: " in caplog.messages[-1]
    assert caplog.messages[-1].endswith(f"report {run.directory.relative_to(Path.cwd())}")
    assert [file for file in run.directory.iterdir() if file.name.startswith((".report", "report"))] == []


def test_not_asked_for(fit: Fit) -> None:
    assert not (fit() / "report.html").exists()


def test_a_run_in_a_directory_of_its_own_is_repeated_elsewhere(fit: Fit) -> None:
    words = page_of_fit(fit, "--run.directory", "mine").words
    command = re.search(r"fit (--config \S*mine/config.yaml)", words)
    assert command
    main(["fit", *command[1].split()])
    assert len(list(Path("runs").rglob("summary.json"))) == 1


def test_of_a_training_that_diverged(fit: Fit) -> None:
    """Its probabilities mean nothing, whatever it gets right by them."""
    page = page_of_fit(fit, "--model.optimizer.lr", "100", epochs=4)
    assert "Diagnosis of the training: diverged" in page.words
    assert "Divide the learning rate by 10: --model.optimizer.lr 10." in page.words
    assert "Calibration, abstention and likely mislabelled images are left out" in page.words
    assert "Not judged. The diagnosis of the training is “diverged”." in page.words
    assert "Logits divided by" not in page.words


def test_the_config_of_a_run_is_taken_by_other_verbs(fit: Fit) -> None:
    run = fit("--report", "true")
    main(["test", "--ckpt_path", str(run), "--config", str(run / "config.yaml")])


def test_without_the_images(fit: Fit, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit()
    shutil.rmtree(photos)
    assert run_report(str(run), "--output", "page.html") == 0
    assert capsys.readouterr().out == "page.html\n"
    page = Page(Path("page.html"))
    assert page.num_pictures == 0
    assert "No pictures, because the images cannot be read: data.root is" in page.words
    assert page.words.count("no picture") >= 9


def test_images_that_are_elsewhere_are_decoded_without_a_cache(fit: Fit, workspace: Path) -> None:
    run = fit()
    shutil.rmtree(workspace / "data" / "cache")
    assert run_report(str(run)) == 0
    assert Page(run / "report.html").num_pictures >= 9
    assert not (workspace / "data" / "cache").exists()


@pytest.mark.parametrize("lost", [["summary.json", "outputs.npz"], ["outputs.npz"], ["summary.json"]])
def test_unfinished_run(fit: Fit, lost: list[str]) -> None:
    run = fit()
    for name in lost:
        (run / name).unlink()
    assert run_report(str(run)) == 0
    page = Page(run / "report.html")
    assert "This run has no test result. 2 of 2 epochs are recorded" in page.words
    assert page.tags.count("svg") == 5
    assert "How this was decided" in page.words


def test_run_that_ended_before_its_first_epoch(fit: Fit) -> None:
    run = fit()
    for file in run.iterdir():
        if file.is_file() and file.name != "config.yaml":
            file.unlink()
    assert run_report(str(run)) == 0
    page = Page(run / "report.html")
    assert "No epoch is recorded" in page.words
    assert "max_epochs: 2" in page.words


def test_hostile_names(fit: Fit, photos: Path) -> None:
    """A folder in a folder makes the slash of the closing tag."""
    shutil.rmtree(photos / "blue")
    hostile = photos / "<script>alert(1)<" / "script>"
    write_images(hostile, 20, COLOURS["blue"])
    for number in range(20):
        for file in hostile.glob(f"image {number}.*"):
            file.rename(hostile / f'"><img src=x onerror=alert({number})>$x_1$&amp;{file.suffix}')
    page = page_of_fit(fit)
    assert "<script>alert(1)<" in page.text
    assert re.search(r'<script>alert\(1\)</script>/"><img src=x onerror=alert\(\d+\)>', page.text)


def test_more_classes_than_a_table_holds(fit: Fit, photos: Path) -> None:
    for number in range(30):
        write_images(photos / f"class {number}", 8, (8 * number, 100, 255 - 8 * number), seed=number)
    page = page_of_fit(fit, epochs=1)
    assert "33 classes: one pixel for each pair" in page.words
    assert "Most confused" in page.words


def test_a_report_that_fails_does_not_end_the_fit(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where matplotlib is broken."""
    for name in [name for name in sys.modules if name.startswith("matplotlib") or ".tools.report." in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run = fit("--report", "true")
    assert (run / "summary.json").exists()
    assert not (run / "report.html").exists()
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "The report could not be written (ModuleNotFoundError: " in warnings[0]
    assert warnings[0].endswith(f"report {run.relative_to(Path.cwd())}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "RUN is 'nowhere', but there is no such file or folder"),
        (["other"], "'other/config.yaml' cannot be used: data is missing"),
        (["broken"], "'broken/config.yaml', which is not valid YAML"),
        (["empty"], "RUN is 'empty', which is not a run directory and does not contain one"),
        ([], "the following arguments are required: RUN"),
    ],
)
@pytest.mark.usefixtures("workspace")
def test_not_a_run(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, text in (("other", "trainer: {}\nmonitor: val/acc\n"), ("broken", "trainer: [")):
        Path(folder).mkdir()
        Path(folder, "config.yaml").write_text(text)
    Path("empty").mkdir()
    assert run_report(*words) == 2
    assert message in capsys.readouterr().err
    assert not list(Path.cwd().rglob("*.html"))


def test_mistakes_with_a_run(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit()
    for output, message in (("no/where.html", "there is no folder 'no'"), (".", "which is a folder")):
        assert run_report(str(run), "--output", output) == 2
        assert f"--output is {output!r}" in (shown := capsys.readouterr().err)
        assert message in shown
    (run / "outputs.npz").write_bytes((run / "outputs.npz").read_bytes()[:100])
    assert run_report(str(run)) == 2
    assert "outputs.npz' cannot be read" in capsys.readouterr().err
