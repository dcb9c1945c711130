"""Tensors become logits."""

from .base import ImageClassifier
from .cnn import CNNClassifier
from .mlp import MLPClassifier
from .transfer import TransferClassifier

# The only classes that a checkpoint can name: see deployment/checkpoint.py.
CLASSIFIERS: dict[str, type[ImageClassifier]] = {
    classifier.__name__: classifier for classifier in (MLPClassifier, CNNClassifier, TransferClassifier)
}

__all__ = ["CLASSIFIERS", "CNNClassifier", "ImageClassifier", "MLPClassifier", "TransferClassifier"]
