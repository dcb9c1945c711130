from pathlib import Path
from typing import Any

import pytest
import torch

from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.deployment import checkpoint as bundles
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import TransferClassifier
from {{cookiecutter.package}}.models.settings import to_plain


def checkpoint_of(model: torch.nn.Module, hparams: dict[str, Any], name: str) -> dict[str, Any]:
    return {"hyper_parameters": hparams, "state_dict": model.state_dict(), "bundle": {"model": name}}


def test_rebuilds_without_the_file_of_weights(facts: ImageFacts, tmp_path: Path) -> None:
    """A checkpoint trained from a file of weights that is long gone."""
    model = TransferClassifier(facts, backbone="resnet18", weights="none", input_size=32)
    hparams = to_plain(dict(model.hparams)) | {"weights": str(tmp_path / "gone.pth")}
    loaded = bundles.load_classifier(checkpoint_of(model, hparams, "TransferClassifier"))
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(loaded(images), model.eval()(images))
    assert not loaded.training


def test_only_classes_of_the_table_are_built(facts: ImageFacts) -> None:
    model = TransferClassifier(facts, backbone="resnet18", weights="none")
    for name in ("os.system", "MLPClasifier"):
        with pytest.raises(UserError, match=rf"'{name}', which is not a class of this project.*MLPClassifier"):
            bundles.load_classifier(checkpoint_of(model, {}, name))


def test_data_sets_of_the_table_only() -> None:
    checkpoint = {"bundle": {"config": {"data": {"class_path": "this.Zen"}}}}
    with pytest.raises(UserError, match=r"'this\.Zen', which is not a class of this project.*DigitsDataModule"):
        bundles.data_config(checkpoint)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.ckpt.*no such file or folder"):
        bundles.find_checkpoint(tmp_path / "nowhere.ckpt", "best")


def test_run_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a run directory and does not contain one"):
        bundles.find_checkpoint(tmp_path, "last")


class Exploit:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize("content", ["not a checkpoint", "hello", "", "0", "code"])
def test_damaged_or_dangerous(workspace: Path, content: str) -> None:
    """To the unpickler, each text is another program, and ends with another exception."""
    file = workspace / "bad.ckpt"
    file.write_text(content)
    if content == "code":
        torch.save({"bundle": Exploit()}, file)
    with pytest.raises(UserError, match=r"bad\.ckpt', which cannot be read"):
        bundles.read_checkpoint(file)
    assert not (workspace / "executed").exists()


def test_checkpoint_of_another_project(tmp_path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"other\.ckpt', which this project did not write"):
        bundles.read_checkpoint(tmp_path / "other.ckpt")
