import numpy as np

from {{cookiecutter.package}}.data.audit.near_duplicates import NUM_ROWS, near_duplicates


def test_neighbours_form_groups() -> None:
    far = 0xFFFF_0000_FFFF_0000
    hashes = [0, far, 0b111, 0b111_111_111, far ^ 1, 0x00FF_00FF_00FF_00FF]
    groups = near_duplicates(hashes, max_distance=6)
    assert sorted(map(sorted, groups)) == [[0, 2, 3], [1, 4]]  # 0 and 3 differ in nine bits, and 2 links them


def test_pairs_are_found_across_chunks() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**63, NUM_ROWS + 50, dtype=np.uint64).tolist()
    hashes[NUM_ROWS + 10] = hashes[3] ^ 1
    assert near_duplicates(hashes) == [[3, NUM_ROWS + 10]]


def test_nothing_to_compare() -> None:
    assert near_duplicates([]) == []
    assert near_duplicates([5]) == []
