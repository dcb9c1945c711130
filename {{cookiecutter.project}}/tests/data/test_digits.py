import pytest

from {{cookiecutter.package}}.data import DigitsDataModule

from ..conftest import whole


def test_is_the_real_data_set() -> None:
    data = DigitsDataModule()
    splits = [data.split(split) for split in ("train", "val", "test")]
    assert [len(split) for split in splits] == [1294, 144, 359]
    assert max(int(whole(split).max()) for split in splits) == 255


def test_states_its_mean_and_std() -> None:
    data = DigitsDataModule()
    pixels = whole(data.split("train")) / 255
    assert pixels.mean().item() == pytest.approx(data.facts.mean[0], abs=5e-3)
    assert pixels.std().item() == pytest.approx(data.facts.std[0], abs=5e-3)
