import pytest
import torch

from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.engine.reading import from_plain
from {{cookiecutter.package}}.facts import to_plain


def test_there_and_back(facts: ImageFacts) -> None:
    plain = to_plain(facts)
    assert plain["class_names"] == ["cat", "dog", "eel"]
    assert from_plain(ImageFacts, plain) == facts


def test_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="Tensor"):
        to_plain({"weights": torch.zeros(1)})
