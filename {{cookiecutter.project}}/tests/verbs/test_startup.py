import gc
from collections.abc import Iterator

import lightning_utilities.core.imports as availability
import pytest

from {{cookiecutter.package}}.verbs.startup import quick_imports


@pytest.fixture(autouse=True)
def garbage_collection() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_unneeded_packages_are_hidden_within_the_block_only() -> None:
    with quick_imports():
        assert not availability.RequirementCache("scipy")
        assert not availability.package_available("scipy")
        assert availability.RequirementCache("torch>=2.0")
        assert availability.package_available("torch")
    assert availability.RequirementCache("scipy")
    assert availability.package_available("scipy")


def test_an_error_leaves_everything_as_it_was() -> None:
    before = availability.RequirementCache.__bool__, availability.package_available
    with pytest.raises(ImportError), quick_imports():
        raise ImportError
    assert (availability.RequirementCache.__bool__, availability.package_available) == before
    assert gc.isenabled()
