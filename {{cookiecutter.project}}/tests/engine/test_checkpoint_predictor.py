import csv
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from {{cookiecutter.package}} import load
from {{cookiecutter.package}}.engine.checkpoint_predictor import CheckpointPredictor
from {{cookiecutter.package}}.engine.record import read_run
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import CLASSIFIERS
from {{cookiecutter.package}}.predictor import Predictions

from ..conftest import Fit, write_images


@pytest.fixture
def predictor(checkpoint: Path) -> CheckpointPredictor:
    return CheckpointPredictor.from_checkpoint(checkpoint, CLASSIFIERS, device="cpu")


def bricks(folder: Path) -> None:
    """Wide pictures of a red, a green and a blue third, some of them stored turned: EXIF says how to show them."""
    for number, file in enumerate(sorted(folder.rglob("*.jpg"))):
        image = Image.new("RGB", (90, 30), "red")
        image.paste((0, 255, 0), (30, 0, 60, 30 - number % 20))
        image.paste((0, 0, 255), (60, 0, 90, 30))
        exif = Image.Exif()
        exif[0x0112] = 1 + number % 8
        image.save(file, exif=exif)


@pytest.mark.parametrize("fit_images", ["crop", "pad", "squash"])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_says_what_the_training_said_of_its_test_images(
    fit: Fit, photos: Path, fit_images: str, num_channels: int
) -> None:
    bricks(photos)
    data = ["--data.fit", fit_images, "--data.num_channels", str(num_channels)]
    run = read_run(fit(*data, "--model.optimizer.lr", "0.01"))
    with (run.directory / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    paths = [photos / row["path"] for row in rows]
    found = CheckpointPredictor.from_checkpoint(run.directory, CLASSIFIERS, device="cpu").predict(paths, batch_size=4)
    assert [prediction.path for prediction in found] == list(map(str, paths))
    assert [prediction.class_name for prediction in found] == [row["predicted_class"] for row in rows]
    for prediction, row in zip(found, rows, strict=True):
        assert prediction.probability == pytest.approx(float(row["probability"]), abs=1e-5)
        assert list(prediction.top_k)[1:] == [row["class_2"], row["class_3"]]
        assert list(prediction.top_k.values())[1:] == pytest.approx(
            [float(row["probability_2"]), float(row["probability_3"])], abs=1e-5
        )
    assert len({prediction.probability for prediction in found}) > 3  # the images differ


def test_decoded_images(predictor: CheckpointPredictor) -> None:
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    shares = predictor.predict_images(images)
    assert shares.shape == (5, 3)
    assert shares.dtype == torch.float32
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(5))
    torch.testing.assert_close(shares, predictor.classifier(images).softmax(dim=1).detach())
    assert predictor.predict_images(images[:0]).shape == (0, 3)


def everything_that_is_an_image(file: Path) -> dict[str, Any]:
    image = Image.open(file).convert("RGB")
    pixels = np.asarray(image)
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    return {
        "a path": file,
        "text": str(file),
        "a folder": file.parent,
        "a pattern": str(file.parent / "*.png"),
        "a list": [file],
        "a generator": (str(path) for path in [file]),
        "an array of paths": np.array([str(file)]),
        "an image": image,
        "a list of images": [image],
        "an array": pixels,
        "an array of a batch": pixels[None],
        "a list of arrays": [pixels],
        "a tensor": tensor,
        "a tensor of a batch": tensor[None],
        "a tuple of tensors": (tensor,),
    }


def test_takes_whatever_is_an_image(predictor: CheckpointPredictor, tmp_path: Path) -> None:
    write_images(tmp_path / "one", 1, (220, 30, 20))
    (file,) = (tmp_path / "one").iterdir()
    expected = predictor.predict(file)[0].top_k
    for case, given in everything_that_is_an_image(file).items():
        found = predictor.predict(given)
        assert len(found) == 1, case
        assert found[0].path in {str(file), None}, case
        assert found[0].top_k == pytest.approx(expected, abs=1e-6), case


def test_images_in_memory_are_converted_as_files_are(predictor: CheckpointPredictor, tmp_path: Path) -> None:
    """Grey, transparent and turned ones; what was given stays as it is."""
    rng = np.random.default_rng(0)
    grey, rgba = rng.integers(0, 256, (30, 20), np.uint8), rng.integers(0, 256, (20, 30, 4), np.uint8)
    for number, pixels in enumerate((grey, rgba)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    turned, exif = Image.new("RGB", (90, 30), "red"), Image.Exif()
    turned.paste((0, 0, 255), (0, 0, 20, 30))
    exif[0x0112] = 6
    turned.save(tmp_path / "2.png", exif=exif)
    opened = Image.open(tmp_path / "2.png")
    files = predictor.predict(sorted(tmp_path.glob("*.png")))
    memory = predictor.predict([grey[..., None], torch.from_numpy(rgba).permute(2, 0, 1), opened])
    for file, image in zip(files, memory, strict=True):
        assert file.top_k == pytest.approx(image.top_k, abs=1e-6)
    assert opened.size == (90, 30)
    assert predictor.predict(torch.from_numpy(grey))[0].top_k == pytest.approx(files[0].top_k, abs=1e-6)


NO_IMAGES: dict[str, tuple[Any, str]] = {
    "a number": (3, r"^images is of type int\. Allowed: a path, a folder, "),
    "nothing": (None, r"^images is of type NoneType\."),
    "bytes": (b"photos", r"^images is of type bytes\."),
    "a dictionary": ({"a.jpg": 1}, r"^images is of type dict\."),
    "numbers": ([1, 2], r"^images\[0\] is of type int\."),
    "floats": (np.zeros((8, 8, 3)), r"^images has the type float64: pixels must be uint8, from 0 to 255"),
    "a tensor of floats": ([torch.zeros(3, 8, 8)], r"^images\[0\] has the type float32: pixels must be uint8"),
    "channels first": (np.zeros((3, 8, 8), np.uint8), r"^images has the shape \(3, 8, 8\)\. Allowed: .*\(H, W, C\)"),
    "channels last": (torch.zeros(8, 8, 3, dtype=torch.uint8), r"^images has the shape \(8, 8, 3\)"),
    "no pixels": (np.zeros((0, 8, 3), np.uint8), r"^images has the shape \(0, 8, 3\)"),
    "no folder": ("photoz", r"^PATH is 'photoz', but there is no such file or folder"),
}


@pytest.mark.parametrize("case", NO_IMAGES)
def test_what_is_no_image_is_refused(predictor: CheckpointPredictor, case: str) -> None:
    given, message = NO_IMAGES[case]
    with pytest.raises(UserError, match=message):
        predictor.predict(given)


def test_a_stream_reads_no_further_than_it_must(predictor: CheckpointPredictor, tmp_path: Path) -> None:
    write_images(tmp_path / "red", 1, (220, 30, 20))
    (file,) = (tmp_path / "red").iterdir()
    numbers = count()
    stream = predictor.stream((file for _ in numbers), batch_size=2)
    assert next(stream).path == str(file)
    assert next(numbers) == 6
    stream.close()  # type: ignore[attr-defined]


def test_repr_is_one_line(predictor: CheckpointPredictor) -> None:
    assert repr(predictor) == "CheckpointPredictor(CNNClassifier on cpu, 3 classes: cat, dog, eel)"


def test_a_table_for_pandas(predictor: CheckpointPredictor, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    write_images(tmp_path / "red", 2, (220, 30, 20))
    (tmp_path / "red" / "z.png").touch()
    found = predictor.predict(tmp_path / "red", top_k=2)
    table = found.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == [
        *("path", "class", "probability", "temperature", "abstained", "error"),
        *("class_1", "probability_1", "class_2", "probability_2"),
    ]
    assert list(table["class"][:2]) == [prediction.class_name for prediction in found[:2]]
    assert list(table["class_1"][:2]) == [next(iter(prediction.top_k)) for prediction in found[:2]]
    assert list(table["error"].notna()) == [False, False, True]
    assert len(Predictions().to_pandas()) == 0


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"needs pandas, which is not installed\. Install it"):
        Predictions().to_pandas()


def test_the_package_itself_needs_no_torch() -> None:
    script = "import sys, {{cookiecutter.package}} as package; package.load; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"


def test_a_run_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"^run is 'nowhere', but there is no such file or folder"):
        load("nowhere")


def test_the_cell_of_the_readme(checkpoint: Path) -> None:
    """On a run and a folder of the names that it shows."""
    pytest.importorskip("pandas")
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (cell,) = re.findall(r"^ *```python\n(.*?)^ *```", readme, re.MULTILINE | re.DOTALL)
    run = Path("runs/folder_probe/DATE-TIME/checkpoints")
    run.mkdir(parents=True)
    checkpoint.rename(run / "best.ckpt")
    write_images(Path("photos-of-today"), 3, (220, 30, 20))
    names: dict[str, Any] = {}
    exec(compile(dedent(cell), "README.md", "exec"), names)
    assert len(names["predictions"]) == len(names["table"]) == 3


WRONG_IMAGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "floats": lambda images: images / 255,
    "one image": lambda images: images[0],
    "grey": lambda images: images[:, :1],
    "larger": lambda images: images.repeat(1, 1, 2, 2),
}


@pytest.mark.parametrize("case", WRONG_IMAGES)
def test_images_of_another_kind_are_refused(predictor: CheckpointPredictor, case: str) -> None:
    images = WRONG_IMAGES[case](torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"expected torch\.uint8 \(N, \*\(3, 16, 16\)\)"):
        predictor.predict_images(images)


def test_top_k_and_abstaining(predictor: CheckpointPredictor, tmp_path: Path) -> None:
    write_images(tmp_path / "red", 9, (220, 30, 20))
    paths = sorted((tmp_path / "red").iterdir())
    plain = predictor.predict(paths)
    assert all(len(prediction.top_k) == 3 and not prediction.abstains for prediction in plain)
    threshold = sorted(prediction.probability or 0 for prediction in plain)[4]
    for before, after in zip(plain, predictor.predict(paths, top_k=2, abstain_below=threshold), strict=True):
        assert after.top_k == dict(list(before.top_k.items())[:2])
        assert after.probability == before.probability
        assert after.abstains == (before.probability < threshold)  # type: ignore[operator]
        assert after.class_name == (None if after.abstains else before.class_name)
    assert sum(prediction.abstains for prediction in predictor.predict(paths, abstain_below=threshold)) == 4


def test_weights_that_are_no_numbers(predictor: CheckpointPredictor, tmp_path: Path) -> None:
    write_images(tmp_path / "red", 1, (220, 30, 20))
    for parameter in predictor.classifier.parameters():
        parameter.data.fill_(torch.nan)
    (prediction,) = predictor.predict((tmp_path / "red").iterdir())
    assert prediction.class_name is None
    assert prediction.error == "the model's output is not finite"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(checkpoint: Path) -> None:
    with pytest.raises(UserError, match=r"^device is 'cuda', which is not available here\. Available: .*cpu"):
        CheckpointPredictor.from_checkpoint(checkpoint, CLASSIFIERS, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_agrees_with_the_cpu(checkpoint: Path) -> None:
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    predictor = CheckpointPredictor.from_checkpoint(checkpoint, CLASSIFIERS)
    on_cpu = CheckpointPredictor.from_checkpoint(checkpoint, CLASSIFIERS, "cpu")
    assert predictor.device.type == "cuda"
    torch.testing.assert_close(predictor.predict_images(images), on_cpu.predict_images(images), rtol=0, atol=2e-3)
