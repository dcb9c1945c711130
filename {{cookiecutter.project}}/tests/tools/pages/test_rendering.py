import base64
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image

from {{cookiecutter.package}}.tools.pages.rendering import breakable, count, duration, thumbnail, two_digits


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.004, "< 0.01 s"),
        (5.32, "5.3 s"),
        (9.97, "10 s"),
        (59.2, "59 s"),
        (59.7, "1 min 00 s"),
        (75, "1 min 15 s"),
        (1720, "28 min 40 s"),
        (7385, "2 h 03 min"),
    ],
)
def test_durations_have_one_format(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers() -> None:
    assert [two_digits(number) for number in (0.73, 62.4, 123.4)] == ["0.73", "62", "123"]
    assert [count(num, "image") for num in (0, 1, 1011)] == ["0 images", "1 image", "1,011 images"]
    assert count(2, "class", "classes") == "2 classes"


def test_a_breakable_name_is_still_text() -> None:
    assert breakable("<b>/warmup_fraction") == "&lt;b&gt;/<wbr>warmup_<wbr>fraction"


@pytest.mark.parametrize(("shape", "kind"), [((1, 8, 8), "png"), ((3, 64, 64), "png"), ((3, 65, 200), "jpeg")])
def test_small_images_keep_their_pixels(shape: tuple[int, int, int], kind: str) -> None:
    assert thumbnail(torch.zeros(shape, dtype=torch.uint8)).startswith(f"data:image/{kind};base64,")


def test_thumbnails_of_files_are_upright_and_small(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    Image.new("RGB", (400, 200)).save(tmp_path / "photo.jpg", exif=exif)
    url = thumbnail(tmp_path / "photo.jpg", side=100)
    with Image.open(BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,")))) as picture:
        assert picture.size == (50, 100)
    assert url == thumbnail(Image.new("RGB", (100, 200)), side=100)
