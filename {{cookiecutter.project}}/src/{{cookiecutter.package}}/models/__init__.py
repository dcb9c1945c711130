"""Classifiers: networks that map images to logits, and their training logic."""

from .base import ImageClassifier
from .cnn import CNNClassifier
from .mlp import MLPClassifier
from .transfer import TransferClassifier

# Checkpoints can name these classes only; see deployment/checkpoint.py.
CLASSIFIERS: dict[str, type[ImageClassifier]] = {
    classifier.__name__: classifier for classifier in (MLPClassifier, CNNClassifier, TransferClassifier)
}

__all__ = ["CLASSIFIERS", "CNNClassifier", "ImageClassifier", "MLPClassifier", "TransferClassifier"]
