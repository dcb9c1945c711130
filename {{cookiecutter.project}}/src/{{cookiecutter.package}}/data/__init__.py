"""Data modules: load images as uint8 tensors with labels, in train, val and test splits."""

from .base import ImageDataModule
from .digits import DigitsDataModule
from .facts import ImageFacts
from .image_folder import ImageFolderDataModule
from .mnist import FashionMNISTDataModule, MNISTDataModule
from .streaming import StreamingImageDataModule

DATA_MODULES: dict[str, type[ImageDataModule]] = {
    module.__name__: module
    for module in (
        DigitsDataModule,
        MNISTDataModule,
        FashionMNISTDataModule,
        ImageFolderDataModule,
        StreamingImageDataModule,
    )
}

__all__ = [
    "DATA_MODULES",
    "DigitsDataModule",
    "FashionMNISTDataModule",
    "ImageDataModule",
    "ImageFacts",
    "ImageFolderDataModule",
    "MNISTDataModule",
    "StreamingImageDataModule",
]
