"""All verbs but ``fit``: wrong values, files in place of folders and the reverse, and options that contradict."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from .campaign import Case, Outcome, judge, run, try_case

PREDICT = "predict --ckpt $run"
NUMBERS = ["x", "", "1.5.5", "nan", "1e", "٣x"]
COUNTS = [*NUMBERS, "0", "-1", "1.5", "99999999999", "inf"]

# Verb, option and values that are wrong.
VALUES: list[tuple[str, str, list[str]]] = [
    (f"{PREDICT} $image", "--top_k", COUNTS),
    (f"{PREDICT} $image", "--batch_size", COUNTS),
    (f"{PREDICT} $image", "--abstain_below", [*NUMBERS, "-0.1", "1.1", "inf"]),
    (f"{PREDICT} $image", "--device", ["x", "", "gpu", "0"]),
    (f"{PREDICT} $image", "--output", ["", ".", "x.txt", "nowhere/x.csv", "$photos", "$image/x.csv"]),
    ("split $photos --output s.csv", "--val_fraction", [*NUMBERS, "0", "1", "-1", "inf"]),
    ("split $photos --output s.csv", "--test_fraction", [*NUMBERS, "0", "1", "-1", "inf"]),
    ("split $photos --output s.csv", "--seed", [*NUMBERS, "-1", "4294967296", "1.5"]),
    ("split $photos --output s.csv", "--folds", [*NUMBERS, "0", "-1", "1", "1000000"]),
    ("split $photos --output s.csv", "--test_folder", ["x", "", "train"]),
    ("split $photos --output s.csv", "--group", ["(", "[", "*", "(?P<x", "\\"]),
    ("split $photos", "--output", [".", "$photos", "nowhere/s.csv", "$image/s.csv"]),
    ("pack $photos packed", "--val_fraction", [*NUMBERS, "0", "1", "-1"]),
    ("pack $photos packed", "--test_fraction", [*NUMBERS, "0", "1", "-1"]),
    ("pack $photos packed", "--split_seed", [*NUMBERS, "-1", "4294967296"]),
    ("pack $photos packed", "--workers", [*COUNTS, "1000000"]),
    ("pack $photos packed", "--chunk_megabytes", [*NUMBERS, "0", "-1", "inf", "2000"]),
    ("pack $photos packed", "--image_size", [*COUNTS, "1000000"]),
    ("pack $photos packed --image_size 16", "--quality", [*NUMBERS, "0", "-1", "96"]),
    ("pack $photos packed", "--fit", ["x", ""]),
    ("pack $photos packed", "--num_channels", ["2", "0", "x"]),
    ("pack $photos packed", "--unreadable", ["x", ""]),
    ("pack $photos packed", "splits", ["nowhere.csv", "$image", "$photos"]),
    ("export --ckpt $run --out out", "--max_loss", [*NUMBERS, "-1", "inf"]),
    ("export --ckpt $run --out out", "--coverage", [*NUMBERS, "0", "-1", "1.1"]),
    ("export --ckpt $run --out out", "--formats", ["x", "", "onnx,", ",", "onnx,x", "ONNX"]),
    ("demo --ckpt $run", "--port", [*NUMBERS, "0", "-1", "65536", "80.5"]),
    ("tune --sweep sweep.yaml", "--trials", COUNTS),
    ("tune --sweep sweep.yaml", "--minutes", [*NUMBERS, "0", "-1", "inf"]),
    ("tune --sweep sweep.yaml", "--seeds", [*COUNTS, "1000"]),
]

CKPT = [
    ("", "is ''"),
    ("nowhere", "'nowhere'"),
    ("nowhere.ckpt", "'nowhere.ckpt'"),
    ("$image", "image 0.png"),
    ("$photos", "photos"),
    ("$run/metrics.csv", "metrics.csv"),
    ("$run/outputs.npz", "outputs.npz"),
    ("/dev/null", "/dev/null"),
    ("last", "'last'"),
    (300 * "n", "nnn"),
    ("best.ckpt", "best.ckpt"),
]
WITH_CKPT = ["test", "validate", "predict $image", "export --out out", "demo"]

# Commands, and words of the message.
COMMANDS = [
    ("fot", "fit"),
    ("''", "''"),
    ("FIT", "'FIT'"),
    ("--x", "--x"),
    ("predict", "--ckpt"),
    ("predict $image", "--ckpt"),
    (PREDICT, "PATH"),
    (f"{PREDICT} nowhere", "'nowhere'"),
    (f"{PREDICT} ''", "''"),
    (f"{PREDICT} nowhere/*.jpg", ""),
    (f"{PREDICT} empty", "empty"),
    (f"{PREDICT} $run", ""),
    (f"{PREDICT} columns.csv", "columns"),
    (f"{PREDICT} binary.csv", "binary.csv"),
    (f"{PREDICT} empty.csv", "empty.csv"),
    (f"{PREDICT} blank.csv", "line"),
    (f"{PREDICT} nowhere.csv", "nowhere.csv"),
    (f"{PREDICT} twice.csv", "one must be 'path'"),
    (f"{PREDICT} comma.csv", "more cells than the heading"),
    (f"{PREDICT} 'a\0b.png'", "null character"),
    (f"{PREDICT} $image --output=", "--output is ''"),
    (f"{PREDICT} -", "standard input is empty"),
    (f"{PREDICT} list.csv --output list.csv", "overwritten"),
    (f"{PREDICT} $image --unknown 3", "--unknown"),
    (f"{PREDICT} $image --top 3", "--top"),
    ("predict --ckpt $photos $image", "photos"),
    ("test", "needs a checkpoint"),
    ("validate", "needs a checkpoint"),
    ("test --ckpt", "--ckpt"),
    ("test --ckpt $run --seed_everything 3", "option of fit"),
    ("test --ckpt $run --run.name x", "option of fit"),
    ("test --ckpt $run --model CNNClassifier --model.widths [0]", "model.widths"),
    ("test --ckpt $run --data.batch_size 0", "data.batch_size is 0"),
    ("test --ckpt $run --data.root nowhere", "'nowhere'"),
    ("test --ckpt $run --data DigitsDataModule", ""),
    ("test --ckpt $digits --data.split_seed 3", "trained on"),
    ("test --ckpt $digits --data.unknown 3", "data.unknown"),
    ("test --ckpt $digits --trainer.devices 0", "trainer.devices is 0"),
    ("test --ckpt $digits --trainer.limit_test_batches 0", "trainer.limit_test_batches is 0"),
    ("validate --ckpt $digits --trainer.limit_val_batches 0", "trainer.limit_val_batches is 0"),
    ("test --ckpt $digits --trainer.accelerator x", "trainer.accelerator is 'x'"),
    ("test --ckpt $digits --trainer.precision x", "trainer.precision"),
    ("test --ckpt $digits --config nowhere.yaml", "nowhere.yaml"),
    ("test --ckpt $digits nowhere", "'nowhere'"),
    ("compare", "RUN"),
    ("compare nowhere", "'nowhere'"),
    ("compare ''", ""),
    ("compare $photos", "photos"),
    ("compare $image", "image 0.png"),
    ("compare empty", "'empty'"),
    ("compare last", "'last'"),
    ("compare $runs --output .", "folder"),
    ("compare $runs --output nowhere/x.html", "nowhere"),
    ("compare $runs --output $image/x.html", "image 0.png"),
    ("compare $runs --output columns.csv", "ends in .html"),
    ("compare $runs --unknown", "--unknown"),
    ("report", "RUN"),
    ("report nowhere", "'nowhere'"),
    ("report $photos", "photos"),
    ("report $image", "image 0.png"),
    ("report empty", "empty"),
    ("report last", "'last'"),
    ("report $run --output .", "folder"),
    ("report $run --output nowhere/x.html", "nowhere"),
    ("report $run --output columns.csv", "ends in .html"),
    ("report $run $digits", ""),
    ("audit", "root"),
    ("audit nowhere", "'nowhere'"),
    ("audit $image", "image 0.png"),
    ("audit empty", "empty"),
    ("audit ''", "is ''"),
    ("audit $photos --quarantine ''", "--quarantine is ''"),
    ("audit /dev/null", "/dev/null"),
    ("audit $photos --output columns.csv", "columns.csv"),
    ("audit $photos --quarantine $photos/x", "inside"),
    ("audit $photos --quarantine $photos", "inside"),
    ("audit $photos --quarantine a --restore b", "not allowed with"),
    ("audit $photos --restore nowhere", "nowhere"),
    ("audit $photos --restore empty", "empty"),
    ("audit $photos --restore $photos", "photos"),
    ("split", "root"),
    ("split nowhere", "'nowhere'"),
    ("split $image", "image 0.png"),
    ("split empty", "empty"),
    ("split $photos --output s.csv --extend", "--extend"),
    ("split $photos --output columns.csv", "exists already"),
    ("split $photos --output columns.csv --extend", "columns"),
    ("split $photos --output binary.csv --extend", "UTF-8"),
    ("split $photos --output s.csv --val_fraction 0.001", "cannot carve"),
    ("split $photos --output s.csv --test_fraction 0.999", "cannot carve"),
    ("split $photos --output s.csv --group .", "one group"),
    ("split $photos --output s.csv --test_folder val", "has no folder val"),
    ("pack", "root"),
    ("pack $photos", "out"),
    ("pack nowhere packed", "'nowhere'"),
    ("pack $image packed", "image 0.png"),
    ("pack empty packed", "empty"),
    ("pack $photos $photos", ""),
    ("pack $photos $photos/packed", ""),
    ("pack $photos $image", "image 0.png"),
    ("pack $photos $image/x", "image 0.png"),
    ("pack $photos packed --decoded", "--image_size"),
    ("pack $photos packed --quality 90", "--image_size"),
    ("pack $photos packed --decoded --image_size 8 --quality 90", "--quality"),
    ("pack $photos s3://", "s3://"),
    ("pack $photos ftp://host/x", "ftp://host/x"),
    ("pack $photos filled", "filled"),
    ("export --ckpt $run --out columns.csv", "columns.csv"),
    ("export --ckpt $run --out filled", "other files"),
    ("export --ckpt $run --out $image/x", "image 0.png"),
    ("export --ckpt $run --out out --formats pt2 --int8", "--int8"),
    ("export --ckpt $run --out out --formats pt2 --page", "--page"),
    ("export --ckpt $run --out out --data_root nowhere", "'nowhere'"),
    ("export --ckpt $digits --out out --data_root $photos", "--data_root"),
    ("export --ckpt $run --out out --page --ort_web nowhere", "nowhere"),
    ("export", "--ckpt"),
    ("demo", "--ckpt"),
    ("demo --ckpt $run --export out", "not allowed with"),
    ("demo --export nowhere", "nowhere"),
    ("demo --export $run", "not an export"),
    ("demo --export $image", "image 0.png"),
    ("tune", "--sweep"),
    ("tune --sweep nowhere.yaml", "nowhere.yaml"),
    ("tune --sweep $photos", "photos"),
    ("tune --sweep $image", "image 0.png"),
    ("tune --sweep ''", "--sweep"),
    ("tune --sweep sweep.yaml --study $image", "not a study"),
    ("tune --sweep sweep.yaml --study empty", "which is a folder"),
    ("tune --sweep sweep.yaml --study $image/x.db", "image 0.png"),
    ("tune --sweep sweep.yaml --trainer.max_epochs 0", "trainer.max_epochs is 0"),
    ("tune --sweep sweep.yaml --unknown 3", "unknown"),
    ("tune --sweep sweep.yaml --monitor val/acc", "metric.name"),
    ("tune --sweep sweep.yaml --trainer.devices 2", "trainer.devices"),
]

SWEEP = """\
command: [x, fit, --data, DigitsDataModule, --model, MLPClassifier, --trainer.max_epochs, "1", "${args}"]
metric: {name: val/loss, goal: minimize}
parameters: {model.dropout: {values: [0.1, 0.2]}}
"""
PARAMETERS = [
    ("{model.dropout: {values: []}}", "at least one value"),
    ("{model.dropout: {values: 3}}", "values"),
    ("{model.dropout: {values: [0.2, 1.5]}}", "model.dropout is 1.5"),
    ("{model.dropout: {values: [0.2, x]}}", "model.dropout is 'x'"),
    ("{model.dropout: {values: [0.2, null]}}", "null"),
    ("{model.dropout: {min: 0.5, max: 0.1}}", "min must be below"),
    ("{model.dropout: {min: 0, max: 1.5}}", "model.dropout"),
    ("{model.dropout: {min: -1.0, max: 0.5}}", "model.dropout is -1"),
    ("{model.dropout: {min: .nan, max: 1}}", "min"),
    ("{model.dropout: {min: 0.1}}", "max"),
    ("{model.dropout: {min: 1e-4, max: 0.5}}", "1e-4"),
    ("{model.dropout: {distribution: x, min: 0.1, max: 0.5}}", "'x'"),
    ("{model.dropout: {distribution: log_uniform_values, min: 0.0, max: 0.5}}", "above 0"),
    ("{model.dropout: {distribution: q_uniform, min: 0.0, max: 0.5, q: 0}}", "q"),
    ("{model.dropout: {value: 0.2}}", "constant"),
    ("{model.dropout: 3}", "model.dropout"),
    ("{model.dropout: null}", "model.dropout"),
    ("{model.dropot: {values: [0.1, 0.2]}}", "model.dropot"),
    ("{1: {values: [0.1, 0.2]}}", "1"),
    ("{null: {values: [0.1, 0.2]}}", ""),
    ("{'': {values: [0.1, 0.2]}}", ""),
    ("{model.dropout: {parameters: {a: 3}}}", "nested"),
    ("{model.dropout: {values: [{a: 3}]}}", "a"),
    ("[]", "no parameters"),
    ("3", "no parameters"),
    ("null", "no parameters"),
]
SWEEPS = [
    (SWEEP.replace("${args}", "x"), "${args}"),
    (SWEEP.replace("fit", "fot"), "runs fit"),
    (SWEEP.replace("val/loss", "val/x"), "metric.name"),
    (SWEEP.replace("minimize", "maximize"), "metric.goal"),
    (SWEEP.replace("MLPClassifier", "MLP"), "'MLP'"),
    (SWEEP.replace("{name: val/loss, goal: minimize}", "val/loss"), "metric.name"),
    (SWEEP + "early_terminate: {type: x}", "early_terminate"),
    (SWEEP + "early_terminate: {type: hyperband, min_iter: 0}", "early_terminate"),
    (SWEEP + "early_terminate: 3", "early_terminate"),
    (SWEEP.replace("[x, fit", "x # [x, fit"), "command"),
    *((SWEEP.split("parameters")[0] + f"parameters: {text}\n", word) for text, word in PARAMETERS),
]


def prepare(folder: Path) -> None:
    """Files of several kinds in the working directory."""
    (folder / "empty").mkdir()
    (folder / "filled").mkdir()
    (folder / "filled" / "notes.txt").write_text("mine")
    (folder / "columns.csv").write_text("a,b\n1,2\n")
    (folder / "binary.csv").write_bytes(bytes(range(256)))
    (folder / "empty.csv").write_text("")
    (folder / "blank.csv").write_text("path\n\n''\n ,\n,\n")
    (folder / "list.csv").write_text("path\nx.png\n")
    (folder / "twice.csv").write_text("path,path\nx.png,y.png\n")
    (folder / "comma.csv").write_text("path\nx,y.png\n")
    (folder / "best.ckpt").write_bytes(b"PK\x03\x04 no checkpoint")
    (folder / "sweep.yaml").write_text(SWEEP)


def cases() -> Iterator[Case]:
    for command, option, values in VALUES:
        for value in values:
            yield Case([*command.split(), f"--{option.removeprefix('--')}={value}"], [option])
    for command in WITH_CKPT:
        for given, word in CKPT:
            yield Case([*command.split(), f"--ckpt={given}"], [word])
    for command, word in COMMANDS:
        yield Case(command, [word])


@pytest.mark.parametrize("case", cases(), ids=str)
def test_refused(case: Case, tmp_path: Path, paths: Mapping[str, Path]) -> None:
    prepare(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    assert try_case(case, tmp_path, paths) == []
    assert {path.name for path in tmp_path.iterdir()} - before <= {"runs", "packed", "audit"}
    assert (tmp_path / "filled" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(("text", "word"), SWEEPS, ids=[word or text[-60:] for text, word in SWEEPS])
def test_sweeps(text: str, word: str, tmp_path: Path, paths: Mapping[str, Path]) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    words = [word] if word == "'MLP'" else ["bad.yaml", word]
    assert try_case(Case("tune --sweep bad.yaml", words), tmp_path, paths) == []


# Commands that succeed, and a check of what they have written.
Check = Callable[[Path, Outcome], Any]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def manifest(folder: Path, _: Outcome) -> None:
    found = rows(folder / "s.csv")
    assert len(found) == 60
    assert {row["split"] for row in found} == {"train", "val", "test"}
    assert {row["class"] for row in found} == {"red", "green", "blue"}


def same_groups(folder: Path, outcome: Outcome) -> None:
    manifest(folder, outcome)
    splits: dict[str, set[str]] = {}
    for row in rows(folder / "s.csv"):
        splits.setdefault(row["group"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())


def predictions(number: int, ranks: int) -> Check:
    def check(folder: Path, _: Outcome) -> None:
        found = rows(folder / "predictions.csv")
        assert len(found) == number
        for row in found:
            shares = [float(row["probability"]), *(float(row[f"probability_{rank}"]) for rank in range(2, ranks + 1))]
            assert shares == sorted(shares, reverse=True)
            assert min(shares) >= 0
            assert sum(shares) <= 1.001

    return check


def one_failed(folder: Path, _: Outcome) -> None:
    found = rows(folder / "predictions.csv")
    assert [bool(row["error"]) for row in found] == [True, False]


def paths_are(*expected: str) -> Check:
    def check(folder: Path, _: Outcome) -> None:
        found = rows(folder / "predictions.csv")
        assert [row["path"] for row in found] == [*expected]
        assert all(row["error"] or row["class"] for row in found)

    return check


def all_failed(words: str) -> Check:
    def check(folder: Path, _: Outcome) -> None:
        assert all(words in row["error"] and not row["class"] for row in rows(folder / "predictions.csv"))

    return check


def same_as_fit(_: Path, outcome: Outcome) -> None:
    assert "accuracy" in outcome.out


TRUE: list[tuple[str, int, Check]] = [
    ("split $photos --output s.csv", 0, manifest),
    ("split $photos --output s.csv --seed 4294967295", 0, manifest),
    ("split $photos --output s.csv --val_fraction 0.5 --test_fraction 0.4", 0, manifest),
    (r"split $photos --output s.csv --group '\d$|\d(?=\.)'", 0, same_groups),
    (f"{PREDICT} $photos", 0, predictions(60, 3)),
    (f"{PREDICT} $photos --top_k 1", 0, predictions(60, 1)),
    (f"{PREDICT} $photos --top_k 2147483647", 0, predictions(60, 3)),
    (f"{PREDICT} $photos --batch_size 1", 0, predictions(60, 3)),
    (f"{PREDICT} $photos --batch_size 2147483647", 0, predictions(60, 3)),
    (f"{PREDICT} $photos --abstain_below 1", 0, predictions(60, 3)),
    (f"{PREDICT} $image $image", 0, predictions(2, 3)),
    (f"{PREDICT} nowhere.png $image", 1, one_failed),
    (f"{PREDICT} -- -x.png --output.png", 0, paths_are("./-x.png", "./--output.png")),
    (f"{PREDICT} 'a\rb.png'", 0, paths_are("a\rb.png")),
    (f"{PREDICT} postscript.png", 1, all_failed("cannot identify")),
    (f"{PREDICT} wide.tif negative.tif", 1, all_failed("have no defined range")),
    (f"{PREDICT} binary.png $image", 1, one_failed),
    ("test --ckpt $digits", 0, same_as_fit),
    ("test --ckpt $digits --data.batch_size 1", 0, same_as_fit),
    ("test --ckpt $digits --data.batch_size 2147483647", 0, same_as_fit),
]


@pytest.mark.parametrize(("command", "status", "check"), TRUE, ids=[command for command, *_ in TRUE])
def test_true(command: str, status: int, check: Check, tmp_path: Path, paths: Mapping[str, Path]) -> None:
    (tmp_path / "binary.png").write_bytes(bytes(range(256)))
    (tmp_path / "postscript.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    for name in ("-x.png", "--output.png", "a\rb.png"):
        shutil.copy(paths["image"], tmp_path / name)
    for name, value in {"wide": 70_000, "negative": -1}.items():
        Image.fromarray(np.full((8, 8), value, np.int32)).save(tmp_path / f"{name}.tif")
    assert try_case(Case(command, status=status, check=check), tmp_path, paths) == []


def test_ranks_that_are_no_numbers(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    case = Case("split $photos --output s.csv", ["LOCAL_RANK is 'x'"], environment={"LOCAL_RANK": "x"})
    assert try_case(case, tmp_path, paths) == []


# Changes of a manifest, options, status, and words that are printed.
MANIFESTS: list[tuple[Callable[[str], str], str, int, str]] = [
    (lambda text: "\ufeff" + text, "", 0, ""),  # as spreadsheets save it
    (lambda text: text.replace(",group", ",group,split").replace(",\n", ",,val\n"), "", 2, "'split' more than once"),
    (lambda text: text.replace(",\n", ",g\n"), "", 0, "groups in several splits"),
    (lambda text: text.replace(",\n", ",g\n"), "--extend", 0, "new images are in no group"),
]


@pytest.mark.parametrize(("change", "extend", "status", "words"), MANIFESTS, ids=[row[-1] for row in MANIFESTS])
def test_manifests(
    change: Callable[[str], str], extend: str, status: int, words: str, tmp_path: Path, paths: Mapping[str, Path]
) -> None:
    shutil.copytree(paths["photos"], tmp_path / "photos")
    assert run(["split", "photos"], tmp_path).status == 0
    file = tmp_path / "photos" / "splits.csv"
    file.write_text(change(file.read_text()))
    outcome = run(["split", "photos", "--extend"] if extend else ["pack", "photos", "packed"], tmp_path)
    assert judge(outcome, [], [status]) == []
    assert words in outcome.err
    if extend:
        assert {row["group"] for row in rows(file)} == {"g"}


def test_names_with_a_carriage_return(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    shutil.copytree(paths["photos"], tmp_path / "photos")
    (tmp_path / "photos" / "red").rename(tmp_path / "photos" / "re\rd")
    for words in (["split", "photos"], ["split", "photos", "--extend"], ["pack", "photos", "packed"]):
        assert judge(run(words, tmp_path), statuses=[0]) == []
    assert {row["class"] for row in rows(tmp_path / "photos" / "splits.csv")} == {"re\rd", "green", "blue"}


@pytest.mark.parametrize(("place", "shown"), [("loose.png", "loose.png"), ("train", "photos/green")])
def test_images_in_no_class_are_named(place: str, shown: str, tmp_path: Path, paths: Mapping[str, Path]) -> None:
    shutil.copytree(paths["photos"], tmp_path / "photos")
    if place == "train":
        for name in ("red", "blue"):
            shutil.copytree(paths["photos"] / name, tmp_path / "photos" / place / name)
    else:
        shutil.copy(paths["image"], tmp_path / "photos" / place)
    outcome = run(["split", "photos"], tmp_path)
    assert judge(outcome, ["not used, as in no class folder", shown], [0]) == []


def test_an_export_of_other_data(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    """The config in a checkpoint describes other images than its weights need."""
    content = torch.load(paths["run"] / "checkpoints" / "best.ckpt", weights_only=True)
    content["bundle"]["config"]["data"]["init_args"]["image_size"] = 24
    torch.save(content, tmp_path / "other.ckpt")
    case = Case("export --ckpt other.ckpt --out out --formats pt2", ["differ in image_size: trained with 16, given 24"])
    assert try_case(case, tmp_path, paths) == []
    assert not (tmp_path / "out").exists()


def test_the_batch_size_changes_no_result(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    found = []
    for size in (1, 7, 1000):
        outcome = run(["validate", "--ckpt", str(paths["digits"]), f"--data.batch_size={size}"], tmp_path)
        assert outcome.status == 0
        found.append(json.loads(outcome.out)["val/acc"])
    assert found == [found[0]] * 3


def test_a_quarantine_is_undone(tmp_path: Path, paths: Mapping[str, Path]) -> None:
    shutil.copytree(paths["photos"], tmp_path / "photos")
    shutil.copy(tmp_path / "photos" / "red" / "image 0.png", tmp_path / "photos" / "red" / "copy.png")
    (tmp_path / "photos" / "red" / "broken.png").write_bytes(b"broken")
    before = sorted(path.relative_to(tmp_path) for path in (tmp_path / "photos").rglob("*"))
    assert run(["audit", "photos", "--quarantine", "aside"], tmp_path).status in {1, 2}
    assert not (tmp_path / "photos" / "red" / "broken.png").exists()
    assert run(["audit", "photos", "--restore", "aside"], tmp_path).status == 0
    assert sorted(path.relative_to(tmp_path) for path in (tmp_path / "photos").rglob("*")) == before
