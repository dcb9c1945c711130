import pytest
import torch

from {{cookiecutter.package}}.data.augmentation import TRANSFORMS, AugmentationName, build_augmentation


def stripes(count: int = 8, size: int = 28) -> torch.Tensor:
    """Images that are all alike, and differ from their mirror image."""
    row = torch.arange(size, dtype=torch.uint8) * 9
    return row.expand(count, 1, size, size).clone()


def test_none_changes_nothing() -> None:
    assert build_augmentation("none", 28, mirror=True) is None


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("mirror", [True, False])
def test_keeps_shape_and_type(name: AugmentationName, mirror: bool) -> None:
    augmentation = build_augmentation(name, 28, mirror=mirror)
    assert augmentation is not None
    images = augmentation(stripes())
    assert images.shape == (8, 1, 28, 28)
    assert images.dtype == torch.uint8


@pytest.mark.parametrize("name", TRANSFORMS)
def test_differs_from_image_to_image(name: AugmentationName) -> None:
    torch.manual_seed(0)
    augmentation = build_augmentation(name, 28, mirror=False)
    assert augmentation is not None
    images = augmentation(stripes(32))
    assert len({bytes(image.numpy()) for image in images}) > 1


def test_only_mirrors_where_told() -> None:
    torch.manual_seed(0)
    left_to_right = {}
    for mirror in (True, False):
        augmentation = build_augmentation("standard", 28, mirror=mirror)
        assert augmentation is not None
        images = augmentation(stripes(64)).float()
        left_to_right[mirror] = int((images[:, 0, 14, -1] < images[:, 0, 14, 0]).sum())
    assert left_to_right[False] == 0
    assert 16 < left_to_right[True] < 48
