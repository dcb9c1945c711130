import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from {{cookiecutter.package}}.deployment.prediction_table import write_table
from {{cookiecutter.package}}.deployment.predictor import Prediction, Predictor
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.evaluation.record import read_run

from ..conftest import Fit, write_images


@pytest.fixture
def predictor(checkpoint: Path) -> Predictor:
    return Predictor.from_checkpoint(checkpoint, device="cpu")


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
    found = list(Predictor.from_checkpoint(run.directory, device="cpu").predict(paths, batch_size=4))
    assert [prediction.path for prediction in found] == list(map(str, paths))
    assert [prediction.class_name for prediction in found] == [row["predicted_class"] for row in rows]
    for prediction, row in zip(found, rows, strict=True):
        assert prediction.probability == pytest.approx(float(row["probability"]), abs=1e-5)
        assert prediction.top_k == pytest.approx(json.loads(row["top_k"]), abs=1e-5)
    assert len({prediction.probability for prediction in found}) > 3  # the images differ


def test_decoded_images(predictor: Predictor) -> None:
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    shares = predictor.predict_images(images)
    assert shares.shape == (5, 3)
    assert shares.dtype == torch.float32
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(5))
    torch.testing.assert_close(shares, predictor.classifier(images).softmax(dim=1).detach())
    assert predictor.predict_images(images[:0]).shape == (0, 3)


WRONG_IMAGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "floats": lambda images: images / 255,
    "one image": lambda images: images[0],
    "grey": lambda images: images[:, :1],
    "larger": lambda images: images.repeat(1, 1, 2, 2),
}


@pytest.mark.parametrize("case", WRONG_IMAGES)
def test_images_of_another_kind_are_refused(predictor: Predictor, case: str) -> None:
    images = WRONG_IMAGES[case](torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"expected torch\.uint8 \(N, \*\(3, 16, 16\)\)"):
        predictor.predict_images(images)


def test_top_k_and_abstaining(predictor: Predictor, tmp_path: Path) -> None:
    write_images(tmp_path / "red", 9, (220, 30, 20))
    paths = sorted((tmp_path / "red").iterdir())
    plain = list(predictor.predict(paths))
    assert all(len(prediction.top_k) == 3 and not prediction.abstained for prediction in plain)
    threshold = sorted(prediction.probability or 0 for prediction in plain)[4]
    for before, after in zip(plain, predictor.predict(paths, top_k=2, abstain_below=threshold), strict=True):
        assert after.top_k == dict(list(before.top_k.items())[:2])
        assert after.probability == before.probability
        assert after.abstained == (before.probability < threshold)  # type: ignore[operator]
        assert after.class_name == (None if after.abstained else before.class_name)
    assert sum(prediction.abstained for prediction in predictor.predict(paths, abstain_below=threshold)) == 4


def test_weights_that_are_no_numbers(predictor: Predictor, tmp_path: Path) -> None:
    write_images(tmp_path / "red", 1, (220, 30, 20))
    for parameter in predictor.classifier.parameters():
        parameter.data.fill_(torch.nan)
    prediction = next(predictor.predict((tmp_path / "red").iterdir()))
    assert prediction.class_name is None
    assert prediction.error == "the model's output is no finite number"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(checkpoint: Path) -> None:
    with pytest.raises(UserError, match=r"--device is 'cuda', which is not available here\. Available: .*cpu"):
        Predictor.from_checkpoint(checkpoint, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_agrees_with_the_cpu(checkpoint: Path) -> None:
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    predictor, on_cpu = Predictor.from_checkpoint(checkpoint), Predictor.from_checkpoint(checkpoint, "cpu")
    assert predictor.device.type == "cuda"
    torch.testing.assert_close(predictor.predict_images(images), on_cpu.predict_images(images), rtol=0, atol=2e-3)


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_a_table_is_there_only_when_it_is_complete(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"table.{ending}"
    file.write_text("older")

    def interrupted() -> Iterator[Prediction]:
        yield Prediction("a.jpg", "cat", 0.5, {"cat": 0.5})
        assert file.read_text() == "older"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(interrupted(), file)
    assert file.read_text() == "older"
    write_table(iter([Prediction("a.jpg", "cat", 0.5, {"cat": 0.5})]), file)
    assert "cat" in file.read_text()
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_names_that_are_no_utf8(tmp_path: Path, ending: str) -> None:
    file, name = tmp_path / f"table.{ending}", os.fsdecode(b"caf\xe9.jpg")
    write_table([Prediction(name, "cat", 0.5, {"cat": 0.5})], file)
    assert r"caf\udce9.jpg" in file.read_text(encoding="utf-8")
    if ending == "json":
        assert json.loads(file.read_text())[0]["path"] == name
