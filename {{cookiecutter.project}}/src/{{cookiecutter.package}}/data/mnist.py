"""MNIST and Fashion-MNIST: 60,000 images for training and validation, and the official 10,000 test images."""

from pathlib import Path
from typing import Any, ClassVar

from torchvision import datasets

from ..engine.backbones import server_problem
from ..engine.images import LabelledImages
from ..engine.splits import Split
from ..errors import UserError
from ..facts import ImageFacts
from .base import ImageDataModule


class MNISTDataModule(ImageDataModule):
    """LeCun, Cortes and Burges' handwritten digits, 28 x 28, grey.

    Args:
        root: folder that contains ``MNIST/raw/``; missing files are downloaded into it.
    """

    mirror = False
    carved = ("val",)
    source: ClassVar[type[datasets.MNIST]] = datasets.MNIST

    def __init__(self, root: str = "data/", **loading: Any) -> None:
        super().__init__(test_fraction=0.15, **loading)  # not an option: the test split is the official one
        self.root = root

    @property
    def facts(self) -> ImageFacts:
        names = [str(digit) for digit in range(10)]
        return ImageFacts(names, num_channels=1, image_size=28, mean=[0.1307], std=[0.3081])

    def prepare_data(self) -> None:
        """Download missing files, on one process; if that fails, say where to put which files."""
        try:
            self.source(self.root, train=False, download=True)  # of both splits; it reads the smaller one
        except (OSError, RuntimeError, ValueError) as error:
            raise self.not_there(" ".join(str(error).split())) from error

    @property
    def is_there(self) -> bool:
        """Whether nothing has to be downloaded."""
        folder = Path(self.root, self.source.__name__, "raw")
        names = [name for name, _ in self.source.resources]
        return all(any((folder / one).exists() for one in (name, name.removesuffix(".gz"))) for name in names)

    def download_problem(self) -> str:
        """Why the files cannot be downloaded; empty if one of their servers answers."""
        problems = [server_problem(url) for url in self.source.mirrors]
        return "" if "" in problems else "; ".join(problems)

    def not_there(self, reason: str) -> UserError:
        """What to do if the files can neither be read nor downloaded."""
        folder = Path(self.root, self.source.__name__, "raw")
        files = [name.removesuffix(".gz") for name, _ in self.source.resources]
        return UserError(
            f"data.root is {self.root!r}: {self.source.__name__} cannot be read there or downloaded "
            f"({reason}). Put these four files, with or without .gz, into {folder}: {', '.join(files)}. "
            "Or pass --data.root with the folder that holds them."
        )

    def load_split(self, split: Split) -> LabelledImages:
        try:
            source = self.source(self.root, train=split == "train")
        except (OSError, RuntimeError, ValueError) as error:
            if not self.is_there:
                raise
            name, raw = self.source.__name__, Path(self.root, self.source.__name__, "raw")
            raise UserError(
                f"data.root is {self.root!r}, whose files of {name} are damaged: {error}. Copy complete files into "
                f"{raw}, or remove that folder, so that they are downloaded again."
            ) from error
        names = [f"{split}/{position}" for position in range(len(source))]
        return LabelledImages(source.data.unsqueeze(1), source.targets.long(), names)  # (N, 1, 28, 28)


class FashionMNISTDataModule(MNISTDataModule):
    """Zalando's articles of clothing (Xiao, Rasul and Vollgraf, 2017), 28 x 28, grey, in MNIST's file format."""

    mirror = True
    source = datasets.FashionMNIST

    @property
    def facts(self) -> ImageFacts:
        return ImageFacts(datasets.FashionMNIST.classes, num_channels=1, image_size=28, mean=[0.2860], std=[0.3530])
