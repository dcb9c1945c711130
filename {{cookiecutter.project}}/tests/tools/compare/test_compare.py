import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.tools.compare.candidates import (
    by_test_images,
    measure_baselines,
    read_candidates,
)

from ...conftest import Fit

LEARNING = ("--model.optimizer.lr", "0.01")


def status(*words: str) -> int:
    try:
        main(["compare", *words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


class Page(HTMLParser):
    """Counts the tags, and keeps the text and what is loaded."""

    def __init__(self, file: str = "compare.html") -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.loaded: list[str] = []
        self.feed(Path(file).read_text(encoding="utf-8"))
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


@pytest.fixture
def hostile(photos: Path) -> Path:
    """A class whose name is markup, for HTML and for Rich."""
    (photos / "red").rename(photos / "<i>red[bold] $x$")
    return photos


@pytest.mark.usefixtures("hostile")
def test_seeds_baselines_and_page(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in ("0", "1"):
        fit(*LEARNING, "--seed_everything", seed, "--run.directory", f"runs/cnn/[b]{seed}<i>", epochs=4)
    fit("--run.directory", "runs/mlp/1", model="MLPClassifier", epochs=1)
    assert status("runs", "--baselines") == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "compare.html"
    assert "cnn/[b]0<i>" in shown
    page = Page()
    assert "Comparison of 3 runs" in page.text
    assert "9 test images, the same for all" in page.text
    assert "recipe mean accuracy lowest to highest seeds runs" in page.text
    assert "Holm's correction for 5 comparisons" in page.text
    assert "model.widths" in page.text
    assert page.tags.count("svg") == 1
    assert "The majority class is not shown" not in page.text
    assert "i" not in page.tags, "a name is not escaped"
    assert [address for address in page.loaded if not address.startswith(("data:image/", "#"))] == []


def test_baselines_learn_colours(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit()
    assert status(str(run), "--baselines", "--output", "page.html") == 0
    capsys.readouterr()
    page = Page("page.html")
    assert "majority class baseline 33.3 % 12.1 to 64.6 0.167" in page.text
    assert "logistic regression baseline 100.0 %" in page.text
    assert "nearest neighbour baseline 100.0 %" in page.text
    assert json.loads((run / "summary.json").read_text())["num_train_images"] == 43
    assert "The baselines are fitted on 43 training images of" in page.text
    shutil.rmtree("photos")
    assert status(str(run)) == 0
    assert status(str(run), "--baselines") == 2


def test_baselines_are_measured_on_the_run_s_images(workspace: Path) -> None:
    words = ["--data", "DigitsDataModule", "--model", "MLPClassifier", "--trainer.max_epochs", "1"]
    words += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--tracking.wandb", "off"]
    main(["fit", *words, "--run.directory", str(workspace / "run")])
    (run,), _ = read_candidates([workspace / "run"])
    majority, regression, neighbour = measure_baselines(run)
    always = {name for (_, name), is_correct in zip(run.keys, majority.is_correct, strict=True) if is_correct}
    assert len(always) == 1
    assert majority.is_correct.tolist() == [name in always for _, name in run.keys]
    assert regression.accuracy == pytest.approx(0.950, abs=0.015)
    assert neighbour.accuracy == pytest.approx(0.983, abs=0.005)


def test_baselines_of_a_changed_folder_are_refused(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit(epochs=1)
    shutil.copy("photos/red/image 1.jpg", "photos/red/new.jpg")
    assert status(str(run), "--baselines") == 2
    assert "have changed since it was trained and tested" in capsys.readouterr().err


def test_disagreements_have_pictures_while_there_are_images(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    good = fit(*LEARNING, "--run.directory", "runs/good", epochs=4)
    bad = fit("--model.optimizer.lr", "0.000001", "--run.directory", "runs/bad", epochs=1)
    assert status(str(good), str(bad)) == 0
    capsys.readouterr()
    page = Page()
    num = page.tags.count("img")
    assert num > 0
    assert f"good and bad disagree on {num} of 9 images. good is correct on {num} of them, bad on 0." in page.text
    shutil.rmtree("photos")
    assert status("runs") == 0
    page = Page()
    assert "No pictures: data.root is" in page.text
    assert (page.tags.count("img"), page.text.count("no picture")) == (0, num)


def test_other_training_images_may_be_compared(fit: Fit) -> None:
    for fraction in ("0.2", "0.5"):
        fit("--data.val_fraction", fraction, "--run.directory", f"runs/{fraction}")
    assert status("runs") == 0
    page = Page()
    assert "Same test images, but different training or validation images: split hashes" in page.text
    assert page.tags.count("svg") == 2


def test_each_set_of_test_images_is_compared_by_itself(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in ("0", "1"):
        fit("--data.split_seed", seed, "--run.directory", f"runs/split {seed}", epochs=1)
    fit("--seed_everything", "1", "--run.directory", "runs/split 0 again", epochs=1)
    assert status("runs") == 0
    shown = capsys.readouterr().out
    assert "tested on 2 different test sets. Runs are compared within each test set" in shown
    assert shown.count("test images") >= 2
    assert Page().text.count("ImageFolderDataModule") == 2
    assert status("runs", "--allow_different_splits") == 0
    assert "McNemar" not in Page().text
    assert "cannot be compared" in Page().text


def test_other_images_of_the_same_names_are_another_test(fit: Fit, photos: Path) -> None:
    for folder in sorted(photos.iterdir()):
        for split in ("train", "test"):
            shutil.copytree(folder, photos / split / folder.name)
        shutil.rmtree(folder)
    fit("--run.directory", "runs/one", epochs=1)
    for file in (photos / "test").rglob("*.*"):
        other = "image 0.png" if file.suffix == ".png" else "image 1.jpg"
        shutil.copy(photos / "train" / file.parent.name / other, file)
    fit("--run.directory", "runs/other", epochs=1)
    runs, _ = read_candidates([Path("runs")])
    first, second = (run.outputs.names for run in runs)
    assert set(first) == set(second)
    assert len(by_test_images(runs)) == 2


def test_metrics_of_the_team_are_shown_when_all_runs_have_them(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"0": {"test/top5": 0.98765, "test/ece": 0.25}, "1": {"test/top5": 0.75}}
    for seed, added in metrics.items():
        file = fit("--seed_everything", seed, "--run.directory", f"runs/{seed}", epochs=1) / "summary.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | added))
    assert status("runs/0", "runs/1", "--baselines") == 0
    shown = capsys.readouterr().out
    assert "test/top5: " in shown
    assert all(value in shown for value in ("0.9877 (0)", "0.75 (1)"))
    assert "ece" not in shown
    text = Page().text
    assert "macro-F1 top5 train time" in text
    assert all(value in text for value in ("0.9877", "0.75"))
    assert "ece" not in text


def test_a_run_tested_on_its_training_images_is_marked(
    fit: Fit, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in sorted(photos.iterdir()):
        shutil.copytree(folder, photos / "test" / folder.name)
        shutil.move(folder, photos / "train" / folder.name)
    run = fit(*LEARNING, epochs=4)
    assert status(str(run)) == 0
    shown = capsys.readouterr().out
    assert "100.0 % *" in shown
    assert "were trained on" in shown
    assert "were trained on" in Page().text


def test_an_unfinished_run_is_left_out(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    run = fit()
    unfinished = run.with_name("unfinished")
    unfinished.mkdir()
    shutil.copy(run / "config.yaml", unfinished)
    assert status(str(run.parent)) == 0
    assert f"{unfinished} is left out: it has no test result" in caplog.text
    assert "Comparison of 1 run " in Page().text
    assert f"{unfinished}: left out" in Page().text


@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "metrics.csv", "outputs.npz"])
def test_a_run_with_a_damaged_file_is_left_out(name: str, fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    run = fit(epochs=1)
    broken = shutil.copytree(run, run.with_name("broken"))
    (broken / name).write_bytes((broken / name).read_bytes()[:20])
    assert status(str(run.parent)) == 0
    assert f"{broken} is left out: " in caplog.text
    assert name in caplog.text
    assert "Comparison of 1 run " in Page().text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "'nowhere' is not a run directory and does not contain one"),
        (["runs"], "no run has a test result: runs/1"),
        (["runs", "--output", "nowhere/page.html"], "there is no folder 'nowhere'"),
        (["runs", "--output", "runs"], "--output is 'runs', which is a folder"),
        ([], "the following arguments are required: RUN"),
    ],
)
def test_mistakes_are_explained(
    workspace: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    (workspace / "runs" / "1").mkdir(parents=True)
    (workspace / "runs" / "1" / "config.yaml").write_text("seed_everything: 0\n")
    assert status(*words) == 2
    assert message in capsys.readouterr().err
