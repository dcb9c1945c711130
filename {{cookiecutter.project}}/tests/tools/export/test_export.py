import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from {{cookiecutter.package}}.cli import companions, main
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.predictor import INT8_MODEL, Predictor
from {{cookiecutter.package}}.tools.export import export as verb
from {{cookiecutter.package}}.tools.export.card import cell
from {{cookiecutter.package}}.tools.export.graph import write_int8
from {{cookiecutter.package}}.tools.export.measuring import measure

from ...conftest import Fit
from ...hostile.disks import file_limit

FILES = {"README.md", "model.json", "model.onnx", "model.pt2", "parity.json", "predictor.py", "requirements.txt"}
# A process in which torch cannot be imported.
WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def status(*options: object) -> int:
    """The exit status of ``export``; its measures of time and memory are not taken."""
    try:
        main(["export", *map(str, options)])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring starts a process for each model; ``test_measures`` does so."""
    names = ("p50_ms_1", "p95_ms_1", "p50_ms_32", "p95_ms_32", "load_seconds", "peak_mb")
    monkeypatch.setattr(verb, "measure", lambda *_: dict.fromkeys(names, 1.0) | {"threads": 1})


@pytest.fixture
def run(fit: Fit) -> Path:
    """Of a model that is sure enough of its answers to differ from image to image."""
    return fit("--model.optimizer.lr", "0.03", "--data.fit", "pad", epochs=3)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_folder_is_complete_by_itself(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("--ckpt", run) == 0
    out = capsys.readouterr().out
    export = run / "export"
    assert out.splitlines()[-1] == str(export.relative_to(Path.cwd()))
    assert "17 of 17" in out
    assert {path.name for path in export.iterdir()} == FILES
    description = json.loads((export / "model.json").read_text(encoding="utf-8"))
    assert description["class_names"] == ["blue", "green", "red"]
    assert description["decoding"] == {"image_size": 16, "num_channels": 3, "fit": "pad"}
    assert set(description["files"]) == FILES - {"model.json", "parity.json"}
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    assert description["test"]["accuracy"] == pytest.approx(summary["test/acc"])
    assert description["temperature"] == pytest.approx(summary["temperature"])
    assert description["split_hash"] == summary["split_hash"]

    moved = export.rename(tmp_path / "elsewhere")
    words = [str(path) for path in (moved / "predictor.py", moved, photos)]
    command = [sys.executable, "-c", WITHOUT_TORCH, *words, "--out", "found.csv"]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    found = {Path(row["path"]).relative_to(photos).as_posix(): row for row in rows(tmp_path / "found.csv")}
    recorded = rows(run / "predictions.csv")
    assert len(found) == 60
    assert len(recorded) == 9
    for row in recorded:
        assert found[row["path"]]["class"] == row["predicted_class"]
        for column in ("probability", "probability_2", "probability_3", "temperature"):
            own = "probability_1" if column == "probability" else column
            assert float(found[row["path"]][own]) == pytest.approx(float(row[column]), abs=1e-4)


def test_predict_takes_an_export(run: Path, photos: Path, tmp_path: Path) -> None:
    """And writes, byte for byte, what the export's own predictor writes."""
    assert status("--ckpt", run, "--formats", "onnx", "--out", tmp_path / "export") == 0
    (photos / "red" / "broken.jpg").write_bytes(b"not an image")
    command = [sys.executable, "export/predictor.py", "export", str(photos), "--out", "own.csv"]
    result = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert "broken.jpg': cannot identify image file" in result.stderr
    with pytest.raises(SystemExit) as end:
        main(["predict", "--ckpt", str(tmp_path / "export"), str(photos), "--output", str(tmp_path / "verb.csv")])
    assert end.value.code == 1
    assert (tmp_path / "verb.csv").read_bytes() == (tmp_path / "own.csv").read_bytes()


def test_one_call_classifies_paths_pictures_and_arrays(run: Path, photos: Path) -> None:
    assert status("--ckpt", run, "--formats", "onnx") == 0
    predictor = Predictor(run / "export", threads=1)
    file = next((photos / "red").glob("*.png"))
    image = Image.open(file)
    by_path, by_image, by_array, broken = predictor([file, image, np.asarray(image), photos / "gone.png"])
    assert by_path.label == by_image.label == by_array.label
    assert by_path.probabilities is not None
    assert by_path.probabilities.sum() == pytest.approx(1.0)
    assert by_path.probability == pytest.approx(by_path.probabilities.max())
    assert by_image.probability == pytest.approx(by_path.probability)
    assert broken.label is None
    assert broken.error == "No such file or directory"
    assert predictor(file, abstain_below=1.0)[0].abstains
    assert predictor(file, abstain_below=1.0)[0].class_name is None
    assert not predictor(file, abstain_below=0.0)[0].abstains


def test_the_graph_is_one_file_for_any_batch(run: Path) -> None:
    assert status("--ckpt", run, "--formats", "onnx") == 0
    model = onnx.load(run / "export" / "model.onnx", load_external_data=False)
    onnx.checker.check_model(model)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [20]
    (given,) = model.graph.input
    assert given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert given.type.tensor_type.shape.dim[0].dim_param
    assert [output.name for output in model.graph.output] == ["logits", "probabilities"]


@pytest.mark.usefixtures("workspace")
def test_images_without_files(capsys: pytest.CaptureFixture[str]) -> None:
    digits = ["--data", "DigitsDataModule", "--model", "MLPClassifier", "--trainer.max_epochs", "1"]
    off = [option for companion in companions() for option in companion.off]
    main(["fit", *digits, "--trainer.accelerator", "cpu", *off])
    run = capsys.readouterr().out.splitlines()[-1]
    assert status("--ckpt", run) == 0
    assert "503 of 503" in capsys.readouterr().out


def test_a_wrong_model_is_deleted(run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    trace = verb.trace
    monkeypatch.setattr(verb, "trace", lambda classifier, temperature: trace(classifier, 2 * temperature))
    assert status("--ckpt", run) == 1
    assert [path.name for path in (run / "export").iterdir()] == ["parity.json"]
    models = json.loads((run / "export" / "parity.json").read_text(encoding="utf-8"))["models"]
    assert models["model.onnx"]["largest_difference"] > 1e-4
    assert models["model.onnx"]["failures"]
    assert "model.onnx is not exported: it names another class for 0 of 17 images" in caplog.text
    assert "model.pt2 is not exported" in caplog.text


def test_pt2_alone_needs_no_predictor(run: Path) -> None:
    assert status("--ckpt", run, "--formats", "pt2") == 0
    files = {path.name for path in (run / "export").iterdir()}
    assert files == FILES - {"model.onnx", "predictor.py", "requirements.txt"}
    assert "predictor.py" not in (run / "export" / "README.md").read_text(encoding="utf-8")


def test_int8_needs_enough_images_to_prove_it(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert status("--ckpt", run, "--formats", "onnx", "--int8") == 1
    assert "of 8 validation images it loses" in caplog.text
    assert "With so many images the bound is never below 25.27" in caplog.text
    assert {path.name for path in (run / "export").iterdir()} == FILES - {"model.pt2"}


def test_int8_is_kept_where_its_loss_is_allowed(run: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--ckpt", run, "--formats", "onnx", "--int8", "--max_loss", "100") == 0
    assert "model_int8.onnx" in capsys.readouterr().out
    proof = json.loads((run / "export" / "parity.json").read_text(encoding="utf-8"))["models"][INT8_MODEL]
    assert proof["upper_bound_points"] <= 100
    assert proof["val"]["num_images"] == 8
    operators = {node.op_type for node in onnx.load(run / "export" / INT8_MODEL).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    labels = [prediction.label for prediction in Predictor(run / "export", int8=True)(photos)]
    assert len(set(labels)) > 1


def test_int8_on_a_full_disk_is_an_error_of_the_disk(run: Path, tmp_path: Path) -> None:
    assert status("--ckpt", run, "--formats", "onnx") == 0
    source = run / "export" / "model.onnx"
    images = np.zeros((2, 3, 16, 16), dtype=np.uint8)
    for missing in (500, 0):  # onnxruntime's own error, and that of onnx, which reads back what is cut off
        with file_limit(source.stat().st_size - missing), pytest.raises(OSError, match=r"File too large|No space left"):
            write_int8(source, tmp_path / INT8_MODEL, images, reduce_range=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--formats", "tflite"], "'tflite' must be onnx, pt2 or onnx,pt2"),
        (["--coverage", "0"], "--coverage is 0; it must be a number above 0, up to 1"),
        (["--out", "file"], "--out is 'file', which is a file"),
        (["--out", "photos"], "--out is 'photos', a folder with other files"),
        (["--data_root", "gone"], "data.root is 'gone', which is not a folder"),
        (["--ckpt", "gone"], "--ckpt is 'gone'"),
        (["--formats", "pt2", "--int8"], "--int8 needs model.onnx, but --formats is pt2"),
    ],
)
def test_mistakes(options: list[str], words: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    assert status("--ckpt", run, *options) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (run / "export").exists()


def test_missing_packages_are_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verb, "find_spec", lambda name: None if name == "onnxscript" else "there")
    assert status("--ckpt", run) == 2
    assert "export needs onnxscript, not installed here. Install: uv sync --extra export" in capsys.readouterr().err


def test_an_image_that_has_gone_is_no_proof(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prepare = verb.open_data

    def lose(checkpoint: dict[str, Any], root: Path | None) -> Any:
        data = prepare(checkpoint, root)
        next(data.root / name for name in data.split("val").names).unlink()
        return data

    monkeypatch.setattr(verb, "open_data", lose)
    assert status("--ckpt", run, "--formats", "onnx") == 1
    assert "the predictor cannot read" in caplog.text


def test_an_earlier_export_is_not_lost(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status("--ckpt", run, "--formats", "onnx") == 0
    before = {path.name: path.read_bytes() for path in (run / "export").iterdir()}
    assert status("--ckpt", run, "--formats", "onnx") == 2  # without --overwrite

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(verb, "prove", interrupt)
        with pytest.raises(SystemExit):
            main(["export", "--ckpt", str(run), "--overwrite"])
    assert {path.name: path.read_bytes() for path in (run / "export").iterdir()} == before
    assert [path.name for path in run.iterdir() if path.name.startswith(".export")] == []
    assert status("--ckpt", run, "--overwrite") == 0
    assert (run / "export" / "model.pt2").is_file()


def test_an_earlier_export_returns_if_the_new_one_cannot_take_its_place(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("--ckpt", run, "--formats", "onnx") == 0
    before = {path.name: path.read_bytes() for path in (run / "export").iterdir()}
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".tmp") and target == run / "export":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    assert status("--ckpt", run, "--formats", "onnx", "--overwrite") == 2
    assert "which cannot be written: the disk is full" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (run / "export").iterdir()} == before


def test_the_folder_holds_no_bytecode(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert status("--ckpt", run) == 0
    assert {path.name for path in (run / "export").iterdir()} == FILES


def test_images_that_moved_or_changed(run: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = photos.rename(photos.with_name("moved"))
    assert status("--ckpt", run, "--formats", "onnx", "--data_root", moved) == 0
    shutil.copy(next((moved / "red").iterdir()), moved / "blue")
    next((moved / "red").iterdir()).unlink()
    assert status("--ckpt", run, "--out", "other", "--data_root", moved) == 2
    assert "the images of the run have changed since its training" in capsys.readouterr().err


def test_a_changed_model_is_not_used(run: Path) -> None:
    assert status("--ckpt", run, "--formats", "onnx") == 0
    file = run / "export" / "model.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.onnx' was changed or damaged after the export"):
        Predictor(run / "export")
    with pytest.raises(UserError, match="has no model_int8"):
        Predictor(run / "export", int8=True)
    with pytest.raises(UserError, match="is not an export: it has no"):
        Predictor(run)
    (run / "export" / "model.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be read"):
        Predictor(run / "export")


def test_class_names_cannot_break_the_card() -> None:
    assert cell("a|b\n<script>`*_[") == r"a\|b &lt;script>\`\*\_\["


def test_measures(run: Path) -> None:
    assert status("--ckpt", run) == 0
    for name in ("model.onnx", "model.pt2"):
        measured = measure(run / "export" / name, 3, 16)
        assert all(measured[key] > 0 for key in ("load_seconds", "p50_ms_1", "p95_ms_32", "threads"))
