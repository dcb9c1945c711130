import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from {{cookiecutter.package}}.cli import main
from {{cookiecutter.package}}.predictor import Prediction
from {{cookiecutter.package}}.tools.predict.predict import write_table

from ...conftest import Fit, write_images

ANSWER = ["path", "class", "probability", "temperature", "abstained", "error"]
COLUMNS = [*ANSWER, "class_1", "probability_1", "class_2", "probability_2", "class_3", "probability_3"]


@pytest.fixture
def images(checkpoint: Path) -> Path:
    """``images`` with 6 images in two folders, one of them in the other, a hidden image and notes."""
    folder = checkpoint.parent / "images"
    write_images(folder, 3, (200, 30, 40), seed=0)
    write_images(folder / "in été [1]", 3, (20, 180, 40), seed=1)
    (folder / ".hidden.jpg").write_text("?")
    (folder / "notes.txt").write_text("?")
    return folder


INSIDE = [f"images/in été [1]/image {number}.{ending}" for number, ending in enumerate(("png", "jpg", "jpg"))]
BESIDE = [f"images/image {number}.{ending}" for number, ending in enumerate(("png", "jpg", "jpg"))]


def status(*words: str) -> int:
    try:
        main(["predict", "--ckpt", "model.ckpt", "--device", "cpu", *words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def rows(file: str = "predictions.csv") -> list[dict[str, str]]:
    with Path(file).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Text on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


INPUTS = {
    "an image": ([BESIDE[1]], [BESIDE[1]]),
    "images, in order, as often as given": ([BESIDE[2], INSIDE[0], BESIDE[2]], [BESIDE[2], INSIDE[0], BESIDE[2]]),
    "a folder": (["images"], [*BESIDE, *INSIDE]),
    "a folder and an image of it": (["images/", BESIDE[0]], [*BESIDE, *INSIDE, BESIDE[0]]),
    "a pattern": (["images/*.jpg"], BESIDE[1:]),
    "a pattern for folders": (["images/**/image ?.jpg"], [*BESIDE[1:], *INSIDE[1:]]),
    "a pattern for everything": (["images/**"], [*BESIDE, *INSIDE]),
    "a list": (["lists/list.csv"], [f"lists/../{BESIDE[1]}", f"lists/../{INSIDE[0]}", f"lists/../{BESIDE[1]}"]),
    "standard input": (["-"], [INSIDE[1], BESIDE[0], INSIDE[1]]),
    "several kinds": ([BESIDE[0], "-", "images/*.png"], [BESIDE[0], INSIDE[1], BESIDE[0], INSIDE[1], BESIDE[0]]),
}


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("case", INPUTS)
def test_inputs(case: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, expected = INPUTS[case]
    (workspace / "lists").mkdir()
    lines = ["path,label", f"../{BESIDE[1]},x", f"../{INSIDE[0]},y", f"../{BESIDE[1]},x"]
    (workspace / "lists" / "list.csv").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    give(monkeypatch, f"{INSIDE[1]}\r\n\n{BESIDE[0]}\n{INSIDE[1]}")
    assert status(*inputs, "--batch_size", "2") == 0
    assert [row["path"] for row in rows()] == expected
    for row in rows():
        assert list(row) == COLUMNS
        assert (row["class_1"], row["probability_1"]) == (row["class"], row["probability"])
        ranked = [float(row[f"probability_{rank}"]) for rank in (1, 2, 3)]
        assert ranked == sorted(ranked, reverse=True)
        assert {row[f"class_{rank}"] for rank in (1, 2, 3)} == {"cat", "dog", "eel"}
        assert (row["abstained"], row["error"]) == ("false", "")


def test_a_file_whose_name_is_a_pattern(images: Path) -> None:
    (images / "image 1.jpg").rename("a[b]*.jpg")
    assert status("a[b]*.jpg") == 0
    assert [row["path"] for row in rows()] == ["a[b]*.jpg"]


@pytest.mark.usefixtures("images")
def test_each_row_is_of_its_image() -> None:
    """Together, alone, in another order and in batches of another size."""
    assert status("images") == 0
    together = {row["path"]: row for row in rows()}
    assert status(*sorted(together, reverse=True), "--batch_size", "4") == 0
    again = rows()
    assert [row["path"] for row in again] == sorted(together, reverse=True)
    for row in again:
        expected = together[row["path"]]
        assert row["class"] == expected["class"]
        assert float(row["probability"]) == pytest.approx(float(expected["probability"]), abs=2e-6)
    assert len({row["probability"] for row in again}) == len(again)


def test_unreadable_images_are_listed_and_the_others_predicted(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (images / "image 1.jpg").read_bytes()
    (images / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (images / "text.jpg").write_text("no image")
    (images / "empty.png").touch()
    assert status("images", "gone \x1b2J.jpg", "images/notes.txt", "--batch_size", "3") == 1
    found = rows()
    errors = {row["path"]: row["error"] for row in found if row["error"]}
    assert len(found) == 11
    assert errors.keys() == {
        "images/cut.jpg",
        "images/empty.png",
        "images/text.jpg",
        "gone \x1b2J.jpg",
        "images/notes.txt",
    }
    assert "truncated" in errors["images/cut.jpg"].lower()
    assert errors["images/text.jpg"] == "cannot identify image file"
    assert errors["gone \x1b2J.jpg"] == "No such file or directory"
    assert all((row["class"] == "") == bool(row["error"]) for row in found)
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "11 images"
    assert "5 of 11 failed:" in err
    assert "  'images/text.jpg': cannot identify image file" in err
    assert r"  'gone \x1b2J.jpg': No such file or directory" in err


@pytest.mark.usefixtures("images")
def test_all_unreadable(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"gone {number}.jpg" for number in range(30)]
    assert status(*names) == 1
    assert [row["path"] for row in rows()] == names
    assert {row["class"] for row in rows()} == {""}
    err = capsys.readouterr().err.splitlines()
    assert err[:3] == ["30 images", "  failed       30", "30 of 30 failed:"]
    assert err[-1] == "  and 10 more, in the column error"
    assert len(err) == 24


def test_formats_say_the_same(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "broken.png").touch()
    for name in ("table.csv", "table.json", "TABLE.JSONL"):
        assert status("images", "--output", name, "--top_k", "2") == 1
        assert capsys.readouterr().out == f"{name}\n"
    assert status("images", "--output", "-", "--top_k", "2") == 1
    assert capsys.readouterr().out == Path("table.csv").read_text(encoding="utf-8")
    objects = json.loads(Path("table.json").read_text(encoding="utf-8"))
    lines = Path("TABLE.JSONL").read_text(encoding="utf-8").splitlines()
    assert objects == [json.loads(line) for line in lines]
    assert len(objects) == len(rows("table.csv")) == 7
    for known, row in zip(objects, rows("table.csv"), strict=True):
        assert list(known) == [*ANSWER, "top_k"]
        assert list(row) == COLUMNS[:-2]
        assert (known["path"], known["class"] or "", known["error"] or "") == (row["path"], row["class"], row["error"])
        if known["error"] is None:
            assert known["probability"] == float(row["probability"])
            assert known["top_k"] == {row[f"class_{rank}"]: float(row[f"probability_{rank}"]) for rank in (1, 2)}
    assert objects[0]["path"] == "images/broken.png"
    assert (objects[0]["class"], objects[0]["probability"], objects[0]["top_k"]) == (None, None, {})


@pytest.mark.usefixtures("images")
def test_abstaining(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("images", "--abstain_below", "1") == 0
    assert {(row["class"], row["abstained"]) for row in rows()} == {("", "true")}
    assert all(float(row["probability"]) < 1 and row["class_1"] for row in rows())
    assert capsys.readouterr().err == "6 images\n  no class (highest probability below 1)        6\n"
    assert status("images", "--abstain_below", "0.2") == 0
    assert {row["abstained"] for row in rows()} == {"false"}
    assert capsys.readouterr().err.splitlines()[-1] == "  no class (highest probability below 0.2)        0"


def test_a_tally_at_the_end(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "broken.png").touch()
    assert status("images") == 1
    counts = Counter(row["class"] for row in rows() if row["class"])
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "7 images",
        *(f"  {name:6}  {number:7}" for name, number in counts.most_common()),
        "  failed        1",
        "1 of 7 failed:",
        "  'images/broken.png': cannot identify image file",
    ]
    assert out == "predictions.csv\n"


def test_names_that_a_spreadsheet_would_run(images: Path) -> None:
    names = ["+1.jpg", "-1.jpg", "=cmd.jpg", "@x.jpg"]
    for name in names:
        shutil.copy(images / "image 1.jpg", name)
    assert status("*.jpg") == 0
    assert [row["path"] for row in rows()] == [f"./{name}" for name in names]
    assert all(Path(row["path"]).is_file() for row in rows())


@pytest.mark.usefixtures("images")
def test_options_between_the_inputs() -> None:
    assert status(BESIDE[0], "--top_k", "1", BESIDE[1], "--", "-dash.jpg") == 1
    assert [row["path"] for row in rows()] == [*BESIDE[:2], "./-dash.jpg"]


def test_grey_digits_of_any_size_and_mode(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits = ["--data", "DigitsDataModule", "--model", "CNNClassifier", "--model.widths", "[8]"]
    quick = ["--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    main(["fit", *digits, *quick, "--tracking.wandb", "off", "--run.directory", "run"])
    capsys.readouterr()
    for mode, side in (("L", 8), ("RGB", 50), ("RGBA", 3), ("1", 200)):
        Image.new(mode, (side, side + 1)).save(workspace / f"{mode}.png")
    main(["predict", "--ckpt", "run", "*.png"])
    assert {row["class"] for row in rows()} <= set("0123456789")
    assert len({row["probability"] for row in rows()} - {""}) == 2  # black, and RGBA's transparent one: white


def test_a_fresh_process_needs_the_checkpoint_alone(fit: Fit, photos: Path, workspace: Path) -> None:
    run = fit("--model.optimizer.lr", "0.01", epochs=3)
    with (run / "predictions.csv").open() as stream:
        recorded = [(row["path"], row["predicted_class"]) for row in csv.DictReader(stream)]
    given = workspace / "new images"
    for path, _ in recorded:
        (given / path).parent.mkdir(parents=True, exist_ok=True)
        (photos / path).rename(given / path)
    shutil.copy(run / "checkpoints" / "best.ckpt", workspace / "alone.ckpt")
    for folder in (photos, workspace / "runs", workspace / "data"):
        shutil.rmtree(folder, ignore_errors=True)
    words = [sys.executable, "-m", "{{cookiecutter.package}}", "predict", "--ckpt", "../alone.ckpt", "-"]
    stdin = "".join(f"{path}\n" for path, _ in recorded)
    result = subprocess.run(
        [*words, "--output", "-"], cwd=given, input=stdin, capture_output=True, encoding="utf-8", timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[0] == "9 images"
    found = list(csv.DictReader(result.stdout.splitlines()))
    assert [(row["path"], row["class"]) for row in found] == recorded


MISTAKES = [
    (["photoz"], ["PATH is 'photoz'", "no such file or folder"]),
    (["empty"], ["PATH is 'empty', which contains or matches no image", "a pattern"]),
    (["images/*.gif"], ["PATH is 'images/*.gif', which contains or matches no image"]),
    (["images/in*"], ["PATH is 'images/in*', which contains or matches no image"]),
    (["gone.csv"], ["PATH is 'gone.csv'", "No such file"]),
    (["columns.csv"], ["columns are ['file', 'class']", "must be 'path'"]),
    (["hole.csv"], ["hole.csv, line 3", "is empty"]),
    (["heading.csv"], ["'heading.csv', which contains or matches no image"]),
    (["latin.csv"], ["'latin.csv', which is not a CSV file in UTF-8"]),
    (["-"], ["standard input is empty"]),
    (["x" * 300], ["no such file or folder"]),
    (["images", "--output", "table.xlsx"], ["--output is 'table.xlsx'", ".csv, .json, .jsonl"]),
    (["images", "--output", "nowhere/table.csv"], ["no folder 'nowhere'", "Create it"]),
    (["images", "--output", "folder.csv"], ["--output is 'folder.csv'"]),
    (["list.csv", "--output", "./list.csv"], ["'./list.csv', which is also an input"]),
    (["images", "--abstain_below", "80"], ["--abstain_below is 80; it must be a number from 0 to 1"]),
    (["images", "--abstain_below", "nan"], ["--abstain_below is nan; it must be a number from 0 to 1"]),
    (["images", "--top_k", "0"], ["--top_k is 0; it must be a whole number of 1 or more"]),
    (["images", "--batch_size", "1.5"], ["--batch_size is 1.5; it must be a whole number"]),
    (["images", "--device", "tpu"], ["--device", "'tpu'", "'cuda'"]),
    (["images", "--topk", "3"], ["no option '--topk'", "'--top_k'?"]),
    ([], ["required: PATH"]),
    (["images", "--ckpt", "gone.ckpt"], ["--ckpt is 'gone.ckpt'", "no such file or folder", "Give a run directory"]),
    (["images", "--ckpt", "images"], ["--ckpt is 'images'", "is not a run directory and does not contain one"]),
    (["images", "--ckpt", "text.ckpt"], ["--ckpt is 'text.ckpt', which cannot be read"]),
    (["images", "--ckpt", "images/image 0.png"], ["--ckpt is 'images/image 0.png', which cannot be read"]),
    (["images", "--ckpt", "other.ckpt"], ["--ckpt is 'other.ckpt', which this project did not write"]),
]


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[" ".join(words)[:40] for words, _ in MISTAKES])
def test_mistakes_are_explained(
    words: list[str],
    expected: list[str],
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for folder in ("empty", "folder.csv"):
        (workspace / folder).mkdir()
    tables = {"columns": "file,class\na,b\n", "hole": "path,x\na.jpg,1\n,2\n", "heading": "path\n", "list": "path\na\n"}
    for name, text in tables.items():
        (workspace / f"{name}.csv").write_text(text)
    (workspace / "latin.csv").write_bytes(b"path\ncaf\xe9.jpg\n")
    (workspace / "text.ckpt").write_text("hello")
    (workspace / "predictions.csv").write_text("older")
    torch.save({"state_dict": {}}, workspace / "other.ckpt")
    give(monkeypatch, "\n")
    before = sorted(workspace.rglob("*"))
    assert status(*words) == 2
    err = capsys.readouterr().err
    assert [part for part in expected if part not in err] == []
    assert "Traceback" not in err
    assert sorted(workspace.rglob("*")) == before
    assert (workspace / "predictions.csv").read_text() == "older"


def test_no_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["predict", "images"])
    assert stop.value.code == 2
    assert "the following arguments are required: --ckpt" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_a_table_is_there_only_when_it_is_complete(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"table.{ending}"
    file.write_text("older")

    def interrupted() -> Iterator[Prediction]:
        yield Prediction("a.jpg", "cat", 0.5, {"cat": 0.5})
        assert file.read_text() == "older"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(interrupted(), file, 1)
    assert file.read_text() == "older"
    write_table(iter([Prediction("a.jpg", "cat", 0.5, {"cat": 0.5})]), file, 1)
    assert "cat" in file.read_text()
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_names_that_are_no_utf8(tmp_path: Path, ending: str) -> None:
    file, name = tmp_path / f"table.{ending}", os.fsdecode(b"caf\xe9.jpg")
    write_table([Prediction(name, "cat", 0.5, {"cat": 0.5})], file, 1)
    assert r"caf\udce9.jpg" in file.read_text(encoding="utf-8")
    if ending == "json":
        assert json.loads(file.read_text())[0]["path"] == name
