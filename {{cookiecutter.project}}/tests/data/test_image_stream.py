from collections.abc import Iterator
from pathlib import Path

import numpy as np

from {{cookiecutter.package}}.data.decoding import Decoding
from {{cookiecutter.package}}.data.image_stream import decode_batches

from ..conftest import write_images

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
