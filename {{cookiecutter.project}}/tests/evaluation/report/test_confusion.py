import base64
from io import BytesIO

import numpy as np
from PIL import Image

from {{cookiecutter.package}}.evaluation.report.confusion import (
    DARKEST,
    FAINTEST,
    Cell,
    Pair,
    heat_map,
    most_confused,
    table,
)

COUNTS = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])


def test_cells() -> None:
    rows = table(COUNTS)
    assert rows[0][:2] == [Cell(3, round(DARKEST * 0.75**0.5, 3), is_right=True), Cell(1, DARKEST / 2, is_right=False)]
    assert rows[2] == [Cell(0, 0.0, is_right=position == 2) for position in range(3)]  # a class without images
    assert table(np.array([[9999, 1], [0, 1]]))[0][1].shade == FAINTEST


def test_most_confused_pairs() -> None:
    counts = np.array([[8, 2, 0], [0, 4, 1], [5, 0, 5]])
    names = ["cat", "dog", "eel"]
    assert most_confused(counts, names) == [
        Pair("eel", "cat", 5, 0.5),
        Pair("cat", "dog", 2, 0.2),
        Pair("dog", "eel", 1, 0.2),
    ]


def test_picture_has_a_pixel_for_each_pair() -> None:
    counts = 4 * np.eye(30, dtype=int)
    counts[3, 7] = 12
    with Image.open(BytesIO(base64.b64decode(heat_map(counts).partition(",")[2]))) as picture:
        opacity = np.asarray(picture)[..., 3]
    assert opacity.shape == (30, 30)
    assert (opacity[0, 0], opacity[0, 1]) == (255, 0)
    assert (opacity[3, 3], opacity[3, 7]) == (round(255 * 0.5), round(255 * 0.75**0.5))
