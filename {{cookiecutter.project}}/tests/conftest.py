"""Small, real inputs: image folders, IDX files, and a fit of seconds through the real entry point."""

from __future__ import annotations

import multiprocessing
import struct
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from PIL import Image

from {{cookiecutter.package}} import fit as fit_verb
from {{cookiecutter.package}}.cli import companions, main
from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.engine.images import LabelledImages
from {{cookiecutter.package}}.engine.splits import digest_of, draw
from {{cookiecutter.package}}.facts import to_plain
from {{cookiecutter.package}}.models import CNNClassifier

from .exported import write_export
from .interruption import Interruption

COLOURS = {"blue": (20, 40, 220), "green": (30, 200, 40), "red": (220, 30, 20)}

Fit = Callable[..., Path]


def write_images(
    folder: Path, count: int, colour: tuple[int, int, int], seed: int = 0, splits: Sequence[str | None] = ()
) -> None:
    """Write noisy images of one colour, of several sizes: JPEG, and every third a PNG.

    Args:
        folder: is made where it is missing.
        count: of images.
        colour: red, green and blue, 0 to 255.
        seed: of sizes and noise.
        splits: the split that each image is carved into by default; None, or none at all: as it comes.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        wanted = splits[number] if number < len(splits) else None
        ending, kind = ("png", "PNG") if number % 3 == 0 else ("jpg", "JPEG")
        content = b""
        while not content or wanted not in {None, carved_split(content)}:
            height, width = rng.integers(20, 40, size=2)
            pixels = np.clip(rng.normal(colour, 25, size=(height, width, 3)), 0, 255).astype(np.uint8)
            stream = BytesIO()
            Image.fromarray(pixels).save(stream, kind)
            content = stream.getvalue()
        (folder / f"image {number}.{ending}").write_bytes(content)


def carved_split(content: bytes, fraction: float = 0.15, seed: int = 0) -> str:
    """The split into which a file of that content is carved."""
    for split in ("test", "val"):
        if draw(f"{seed} {split} {digest_of(content)}") < fraction:
            return split
    return "train"


def write_idx(file: Path, array: np.ndarray) -> None:
    """Write LeCun's format: two zero bytes, type 8 (uint8), number of dimensions, sizes, values."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(header + array.astype(np.uint8).tobytes())


def whole(split: LabelledImages) -> torch.Tensor:
    """All images of a split: uint8 (N, C, H, W)."""
    return split.images[torch.arange(len(split))]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, without a W&B login and without a launcher's environment."""
    monkeypatch.chdir(tmp_path)
    for variable in ("WANDB_API_KEY", "WANDB_MODE", "RANK", "SLURM_PROCID"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    return tmp_path


def write_photos(folder: Path) -> None:
    """Write three classes of 20 images each, of which 43 are carved into train, 8 into val and 9 into test."""
    for seed, (name, colour) in enumerate(COLOURS.items()):
        num_val = 2 if name == "red" else 3
        splits = ["test"] * 3 + ["val"] * num_val + ["train"] * (17 - num_val)
        write_images(folder / name, 20, colour, seed, splits)


@pytest.fixture
def photos(workspace: Path) -> Path:
    """``photos/<class>/*``: see ``write_photos``."""
    write_photos(workspace / "photos")
    return workspace / "photos"


@pytest.fixture
def mnist_root(workspace: Path) -> Path:
    """Real IDX files in torchvision's layout, 100 training and 20 test images, of MNIST and Fashion-MNIST."""
    rng = np.random.default_rng(0)
    for name in ("MNIST", "FashionMNIST"):
        for part, count in (("train", 100), ("t10k", 20)):
            labels = np.arange(count) % 10
            images = rng.integers(0, 60, size=(count, 28, 28)) + labels[:, None, None] * 19
            write_idx(workspace / "root" / name / "raw" / f"{part}-images-idx3-ubyte", images)
            write_idx(workspace / "root" / name / "raw" / f"{part}-labels-idx1-ubyte", labels)
    return workspace / "root"


@pytest.fixture
def facts() -> ImageFacts:
    return ImageFacts(["cat", "dog", "eel"], num_channels=3, image_size=16, mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.2])


@pytest.fixture
def checkpoint(workspace: Path, facts: ImageFacts) -> Path:
    """A file with what a checkpoint needs to predict, of a network as it is before its training."""
    torch.manual_seed(0)
    model = CNNClassifier(facts, widths=[8])
    bundle = {"model": "CNNClassifier"}
    hyperparameters = to_plain(dict(model.hparams))
    torch.save(
        {"state_dict": model.state_dict(), "hyper_parameters": hyperparameters, "bundle": bundle},
        workspace / "model.ckpt",
    )
    return workspace / "model.ckpt"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ``export`` writes it; see ``write_export``."""
    return write_export(tmp_path_factory.mktemp("exported") / "export")


@pytest.fixture
def fit(photos: Path, capsys: pytest.CaptureFixture[str]) -> Fit:
    """Train on the photos through the real entry point; returns the run directory, the last line printed."""

    def run(*options: str, model: str = "CNNClassifier", epochs: int = 2) -> Path:
        fixed = ["--data", "ImageFolderDataModule", "--data.root", str(photos), "--data.image_size", "16"]
        fixed += ["--data.batch_size", "8", "--model", model, "--trainer.max_epochs", str(epochs)]
        fixed += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
        fixed += [option for companion in companions() for option in companion.off]
        if model == "CNNClassifier":
            fixed += ["--model.widths", "[8]"]
        main(["fit", *fixed, *options])
        return Path(capsys.readouterr().out.strip().splitlines()[-1]).absolute()

    return run


@pytest.fixture
def forkserver() -> Iterator[None]:
    """Loaders start their workers as Python 3.14 does on Linux; the server imports torch once for all of them."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_forkserver_preload(["{{cookiecutter.package}}.data"])
    multiprocessing.set_start_method("forkserver", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Arms one interruption of the next training."""

    def arm(epoch: int, batch: int, strike: Callable[[], None]) -> None:
        build = fit_verb.build_callbacks

        def with_interruption(*arguments: Any) -> list[Callback]:
            monkeypatch.setattr(fit_verb, "build_callbacks", build)
            return [*build(*arguments), Interruption(epoch, batch, strike)]

        monkeypatch.setattr(fit_verb, "build_callbacks", with_interruption)

    return arm
