from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from {{cookiecutter.package}}.engine.image_cache import decode_into_memory
from {{cookiecutter.package}}.facts import Fit
from {{cookiecutter.package}}.predictor import Decoding, decode_batches

from ..conftest import write_images


def decode_image(file: Path, image_size: int, num_channels: int, fit: Fit) -> torch.Tensor:
    """uint8 (C, H, W)."""
    return torch.from_numpy(Decoding(image_size, num_channels, fit).decode(file).copy()).permute(2, 0, 1)


def save(file: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, **options)  # type: ignore[arg-type]
    return file


@pytest.fixture
def red() -> np.ndarray:
    return np.full((40, 60, 3), (200, 30, 20), dtype=np.uint8)


@pytest.mark.parametrize(("mode", "ending"), [("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("CMYK", "jpg")])
def test_every_mode_becomes_the_same_rgb(tmp_path: Path, red: np.ndarray, mode: str, ending: str) -> None:
    image = decode_image(save(tmp_path / f"image.{ending}", red, mode), 16, 3, "crop")
    assert image.shape == (3, 16, 16)
    assert image.dtype == torch.uint8
    expected = torch.tensor([200, 30, 20]).view(3, 1, 1)
    assert (image.int() - expected).abs().max() <= 12  # the web palette of P rounds most


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I;16"])
def test_grey_becomes_rgb_and_rgb_grey(tmp_path: Path, mode: str) -> None:
    white = np.full((20, 20), 65535, np.uint16) if mode == "I;16" else np.full((20, 20), 255, np.uint8)
    file = save(tmp_path / "image.png", white, None if mode == "I;16" else mode)
    assert (decode_image(file, 8, 3, "crop") == 255).all()
    assert decode_image(file, 8, 1, "crop").shape == (1, 8, 8)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    file = save(tmp_path / "image.png", np.full((20, 20), 257 * 100, np.uint16))
    assert (decode_image(file, 8, 1, "crop") == 100).all()


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    file = save(tmp_path / "image.png", np.zeros((20, 20, 4), np.uint8))
    assert (decode_image(file, 8, 3, "crop") == 255).all()


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, :16] = 255  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn to the right: white on top
    image = decode_image(save(tmp_path / "image.jpg", pixels, exif=exif, quality=95), 32, 1, "crop")
    assert image[0, :12].float().mean() > 240
    assert image[0, 20:].float().mean() < 15


def test_fit(tmp_path: Path) -> None:
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 255  # the middle third is white
    file = save(tmp_path / "wide.png", pixels)
    assert decode_image(file, 20, 1, "crop").float().mean() > 250
    assert 0 < decode_image(file, 20, 1, "squash").float().mean() < 128
    assert (decode_image(file, 20, 1, "pad")[0, :5] == 0).all()


def test_broken_files_are_told_apart(tmp_path: Path, red: np.ndarray) -> None:
    good = save(tmp_path / "good.jpg", red)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(good.read_bytes()[:300])
    text = tmp_path / "text.png"
    text.write_text("not an image")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    images, failures = decode_into_memory([cut, good, text, empty], Decoding(16, 3, "crop"), "decoding")
    assert images.shape == (1, 3, 16, 16)
    assert set(failures) == {cut, text, empty}
    assert "truncated" in failures[cut].lower()
    assert images[0].float().mean() > 50


def test_what_only_some_plugins_raise(tmp_path: Path, red: np.ndarray) -> None:
    """Pillow's AVIF plugin raises RuntimeError for damaged files, its DDS plugin NotImplementedError."""
    file = save(tmp_path / "image.dds", red)
    content = bytearray(file.read_bytes())
    content[80:84] = bytes(4)  # flags of the pixel format
    file.write_bytes(content)
    with pytest.raises(OSError, match="cannot decode: Unknown pixel format"):
        decode_image(file, 16, 3, "crop")


DECODING = Decoding(8, 3, "crop")


def test_in_order_with_the_reason_in_the_place_of_the_image(tmp_path: Path) -> None:
    write_images(tmp_path, 5, (200, 10, 10))
    good = sorted(map(str, tmp_path.iterdir()))
    paths = [good[3], "gone.jpg", good[0], good[3], good[1], str(tmp_path), "nul\0.jpg"]
    batches = list(decode_batches(paths, DECODING, batch_size=3))
    assert [len(batch) for batch, _ in batches] == [3, 3, 1]
    assert [path for batch, _ in batches for path in batch] == paths
    decoded = [image for _, images in batches for image in images]
    for path, image in zip(paths, decoded, strict=True):
        if path in good:
            assert np.array_equal(image, DECODING.decode(Path(path)))
    reasons = [image for image in decoded if isinstance(image, str)]
    assert reasons == ["No such file or directory", "Is a directory", "embedded null byte"]


def test_reads_no_further_than_three_batches_ahead(tmp_path: Path) -> None:
    write_images(tmp_path, 1, (200, 10, 10))
    file = str(next(tmp_path.iterdir()))
    taken = []

    def paths() -> Iterator[str]:
        for number in range(100):
            taken.append(number)
            yield file

    batches = decode_batches(paths(), DECODING, batch_size=4)
    for num_read in range(1, 4):
        next(batches)
        assert len(taken) == 4 * (num_read + 2)
