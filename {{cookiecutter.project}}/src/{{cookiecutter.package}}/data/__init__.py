"""Data modules: load images as uint8 tensors with labels, in train, val and test splits.

To add yours, import it below in one line, in the same way: configs and checkpoints can name every data module that is
imported here.
"""

from ..facts import ImageFacts as ImageFacts
from .base import ImageDataModule as ImageDataModule
from .digits import DigitsDataModule as DigitsDataModule
from .image_folder import ImageFolderDataModule as ImageFolderDataModule
from .mnist import FashionMNISTDataModule as FashionMNISTDataModule
from .mnist import MNISTDataModule as MNISTDataModule
from .streaming import StreamingImageDataModule as StreamingImageDataModule

DATA_MODULES: dict[str, type[ImageDataModule]] = {
    name: found
    for name, found in list(globals().items())
    if isinstance(found, type) and issubclass(found, ImageDataModule) and found is not ImageDataModule
}
