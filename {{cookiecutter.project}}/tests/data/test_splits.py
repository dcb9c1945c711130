from collections import Counter

import numpy as np
import pytest
import torch

from {{cookiecutter.package}}.data.labelled_images import LabelledImages
from {{cookiecutter.package}}.data.splits import apportion, carve, split_hash
from {{cookiecutter.package}}.errors import UserError

LABELS = [0] * 60 + [1] * 30 + [2] * 10
NAMES = ["a", "b", "c"]


def test_stratified_disjoint_and_complete() -> None:
    kept, carved = carve(LABELS, 0.2, seed=0, name="val", class_names=NAMES)
    assert sorted(kept + carved) == list(range(100))
    assert Counter(LABELS[i] for i in carved) == {0: 12, 1: 6, 2: 2}


@pytest.mark.parametrize(
    ("sizes", "total", "shares"),
    [
        ([60, 30, 10], 20, [12, 6, 2]),
        ([5, 5, 5], 7, [3, 2, 2]),
        ([97, 2, 2], 10, [8, 1, 1]),  # a share of 0.2 images is one image
        ([2, 2, 100], 100, [1, 1, 98]),  # a class keeps one as well
    ],
)
def test_each_class_gives_in_proportion_and_has_an_image_in_both_parts(
    sizes: list[int], total: int, shares: list[int]
) -> None:
    assert apportion(np.array(sizes), total).tolist() == shares


def test_depends_on_nothing_but_the_seed() -> None:
    first = carve(LABELS, 0.2, seed=1, name="val", class_names=NAMES)
    torch.manual_seed(123)
    assert carve(LABELS, 0.2, seed=1, name="val", class_names=NAMES) == first
    assert carve(LABELS, 0.2, seed=2, name="val", class_names=NAMES) != first


def test_class_of_one_image_is_named() -> None:
    with pytest.raises(UserError, match="'b' has 1 image"):
        carve([0, 0, 0, 1], 0.5, seed=0, name="val", class_names=NAMES)


def test_too_small_a_part_is_refused() -> None:
    with pytest.raises(UserError, match=r"1 of 10 images would be carved off.*data.test_fraction"):
        carve([0, 1] * 5, 0.1, seed=0, name="test", class_names=NAMES)


def test_hash_changes_with_an_image_its_label_and_its_split() -> None:
    def images(names: list[str], labels: list[int]) -> LabelledImages:
        return LabelledImages(torch.zeros(len(names), 1, 2, 2, dtype=torch.uint8), torch.tensor(labels), names)

    base = split_hash({"train": images(["x", "y"], [0, 1]), "val": images(["z"], [0])})
    assert split_hash({"val": images(["z"], [0]), "train": images(["y", "x"], [1, 0])}) == base
    assert split_hash({"train": images(["x", "y"], [1, 1]), "val": images(["z"], [0])}) != base
    assert split_hash({"train": images(["x", "z"], [0, 1]), "val": images(["y"], [0])}) != base
