from collections import Counter

import numpy as np
import pytest
import torch

from {{cookiecutter.package}}.engine.splits import apportion, carve, carve_by_content, content_hash, digest_of
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
    with pytest.raises(UserError, match=r"1 of 10 images would be carved.*data.test_fraction"):
        carve([0, 1] * 5, 0.1, seed=0, name="test", class_names=NAMES)


DIGESTS = [digest_of(str(number).encode()) for number in range(1000)]


def carved(num: int, labels: list[int], seed: int = 0, name: str = "test", fraction: float = 0.2) -> set[int]:
    kept, found = carve_by_content(DIGESTS[:num], labels, fraction, seed, name=name, class_names=NAMES)
    assert sorted(kept + found) == list(range(num))
    return set(found)


def test_new_images_move_no_old_one() -> None:
    labels = [number % 3 for number in range(1000)]
    many = carved(1000, labels)
    assert carved(400, labels[:400]) == {position for position in many if position < 400}
    assert [sum(labels[position] == label for position in many) for label in range(3)] == [67, 78, 72]


def test_content_and_not_the_order_decides() -> None:
    labels = [number % 3 for number in range(300)]
    order = np.random.default_rng(0).permutation(300)
    _, found = carve_by_content(
        [DIGESTS[i] for i in order], [labels[i] for i in order], 0.2, 0, name="test", class_names=NAMES
    )
    assert {int(order[position]) for position in found} == carved(300, labels)


def test_seed_and_name_draw_other_images() -> None:
    labels = [0, 1] * 200
    assert len({frozenset(carved(400, labels, seed, name)) for seed in (0, 1) for name in ("val", "test")}) == 4


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_each_class_is_in_both_parts(fraction: float) -> None:
    labels = [0, 0, 1, 1, 2, 2]
    for seed in range(20):
        found = carved(6, labels, seed, fraction=fraction)
        assert {labels[position] for position in found} == {0, 1, 2} == {labels[p] for p in set(range(6)) - found}


def test_what_stays_is_enough_for_another_split() -> None:
    for seed in range(20):
        kept, _ = carve_by_content(
            DIGESTS[:6], [0, 0, 0, 1, 1, 1], 0.9, seed, name="test", class_names=NAMES, num_kept=2
        )
        assert len(kept) == 4


def test_copies_go_the_same_way() -> None:
    digests = [digest for digest in DIGESTS[:50] for _ in range(2)]
    _, found = carve_by_content(digests, [0, 0, 1, 1] * 25, 0.3, 0, name="val", class_names=NAMES)
    assert {position ^ 1 for position in found} == set(found)


def test_a_class_of_copies_cannot_be_split() -> None:
    with pytest.raises(UserError, match=r"all images of class 'b' are copies of one.*val/ folder"):
        carve_by_content([*DIGESTS[:4], "ab" * 16, "ab" * 16], [0] * 4 + [1, 1], 0.5, 0, name="val", class_names=NAMES)


def test_hash_changes_with_an_image_its_label_and_its_split() -> None:
    def images(digests: list[int], labels: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(digests), torch.tensor(labels)

    base = content_hash({"train": images([5, 6], [0, 1]), "val": images([7], [0])})
    assert content_hash({"val": images([7], [0]), "train": images([6, 5], [1, 0])}) == base
    assert content_hash({"train": images([5, 6], [1, 1]), "val": images([7], [0])}) != base
    assert content_hash({"train": images([5, 7], [0, 1]), "val": images([6], [0])}) != base
