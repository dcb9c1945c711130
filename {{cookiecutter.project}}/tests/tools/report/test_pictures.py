import base64
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from {{cookiecutter.package}}.engine.results import SplitOutputs
from {{cookiecutter.package}}.tools.report.pictures import (
    DARKEST,
    FAINTEST,
    confusion_table,
    heat_map,
    most_confused,
    plot_coverage,
    plot_curves,
    plot_learning_rates,
)


def texts(svg: str) -> list[str]:
    """Everything that is written in a diagram."""
    return [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


def shares(svg: str) -> list[float]:
    return [float(text.removesuffix("%")) for text in texts(svg) if text.endswith("%")]


@pytest.mark.parametrize("rates", [[1e-4, 1e-2, 1e-5], [2e-3, 5e-2, 4e-2], [1e-6, 1.0, 0.5], [0.1, 0.2, 0.1]])
def test_learning_rates_are_plain_numbers(rates: list[float]) -> None:
    """A logarithmic axis of less than two decades once had raw TeX, ``mathdefault``, for its ticks."""
    svg = plot_learning_rates([{"epoch": float(number), "lr/head": rate} for number, rate in enumerate(rates)])
    assert svg is not None
    assert [text for text in texts(svg) if "$" in text or "mathdefault" in text] == []
    assert len([text for text in texts(svg) if re.fullmatch(r"[-\d.e]+", text)]) >= 5


@pytest.mark.parametrize("num_wrong", [0, 1, 20])
def test_no_share_is_above_100_percent(num_wrong: int) -> None:
    """A curve that ends at 100 % once had ticks at 102 % and 104 %."""
    confidence = np.linspace(0.6, 0.99, 50)
    logits = np.log(np.stack([confidence, 1 - confidence], axis=1)).astype(np.float32)
    svg = plot_coverage(SplitOutputs([str(i) for i in range(50)], (np.arange(50) < num_wrong).astype(np.int64), logits))
    assert len(shares(svg)) >= 8
    assert 0 <= min(shares(svg)) <= max(shares(svg)) <= 100


def test_epochs_count_from_1() -> None:
    epochs = [{"epoch": float(number), "train/acc": 0.9, "val/acc": 0.8} for number in range(3)]
    svg = plot_curves(epochs, "acc", epochs[1])
    assert "kept: epoch 2" in texts(svg)
    assert {"1", "2", "3"} <= set(texts(svg))
    assert "0" not in texts(svg)


COUNTS = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])


def test_cells() -> None:
    rows = confusion_table(COUNTS)
    assert rows[0][:2] == [(3, round(DARKEST * 0.75**0.5, 3)), (1, DARKEST / 2)]
    assert rows[2] == [(0, 0.0)] * 3  # a class without images
    assert confusion_table(np.array([[9999, 1], [0, 1]]))[0][1] == (1, FAINTEST)


def test_most_confused_pairs() -> None:
    counts = np.array([[8, 2, 0], [0, 4, 1], [5, 0, 5]])
    names = ["cat", "dog", "eel"]
    assert most_confused(counts, names) == [
        ("eel", "cat", 5, 0.5),
        ("cat", "dog", 2, 0.2),
        ("dog", "eel", 1, 0.2),
    ]


def test_picture_has_a_pixel_for_each_pair() -> None:
    counts = 4 * np.eye(30, dtype=int)
    counts[3, 7] = 12
    with Image.open(BytesIO(base64.b64decode(heat_map(counts).partition(",")[2]))) as picture:
        opacity = np.asarray(picture)[..., 3]
    assert opacity.shape == (30, 30)
    assert (opacity[0, 0], opacity[0, 1]) == (255, 0)
    assert (opacity[3, 3], opacity[3, 7]) == (round(255 * 0.5), round(255 * 0.75**0.5))
