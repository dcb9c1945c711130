"""Your models: each file builds a network and wraps it in a classifier, which trains it."""

from .classifier import ImageClassifier
from .cnn import CNNClassifier
from .mlp import MLPClassifier
from .transfer import TransferClassifier

# The classes that `--model`, a config and a checkpoint can name: one class a line.
CLASSIFIERS: dict[str, type[ImageClassifier]] = {
    classifier.__name__: classifier
    for classifier in (
        MLPClassifier,
        CNNClassifier,
        TransferClassifier,
    )
}
