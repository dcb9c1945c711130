"""Checkpoints whose content is damaged, changed or of another version."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from {{cookiecutter.package}}.engine.bundles import NoLargerThan, load_classifier, read_checkpoint
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.models import CLASSIFIERS


def set_in(*way: Any) -> Callable[[dict[str, Any]], None]:
    *keys, last, value = way

    def change(content: dict[str, Any]) -> None:
        inner = content
        for key in keys:
            inner = inner[key]
        inner[last] = value

    return change


def change_weight(change: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Any]], None]:
    def apply(content: dict[str, Any]) -> None:
        content["state_dict"]["network.4.weight"] = change(content["state_dict"]["network.4.weight"])

    return apply


def quantized(weight: Tensor) -> Tensor:
    return torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)


def change_names(change: Callable[[list[str]], list[str]]) -> Callable[[dict[str, Any]], None]:
    def apply(content: dict[str, Any]) -> None:
        facts = content["hyper_parameters"]["facts"]
        facts["class_names"] = change(facts["class_names"])

    return apply


def many_classes(content: dict[str, Any]) -> None:
    content["hyper_parameters"]["facts"]["class_names"] = [str(number) for number in range(100_000)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("state_dict"), "state_dict is missing"),
        (lambda content: content.pop("hyper_parameters"), "hyper_parameters is missing"),
        (lambda content: content["bundle"].pop("model"), "bundle.model is missing"),
        (set_in("bundle", "format", 2), "is of format 2, and this version reads 1. It may be of a newer version"),
        (set_in("bundle", "temperature", 0), "bundle.temperature: expected a number >= 0.001"),
        (set_in("bundle", "history", [{"epoch": 3.0, "step": 1.0}]), r"bundle.history\[0\] is not that of epoch 0"),
        (set_in("state_dict", []), "state_dict: expected a mapping, got a list"),
        (set_in("hyper_parameters", "facts", None), "hyper_parameters.facts is missing"),
        (set_in("hyper_parameters", "facts", "fit", "zoom"), "fit: .*'zoom'"),
        (set_in("hyper_parameters", "facts", "mean", [0.5]), "num_channels is 3, with 1 values of mean"),
        (set_in("hyper_parameters", "facts", "image_size", 10**9), "image_size is 1000000000"),
        (set_in("hyper_parameters", "facts", "gamma", 1), "'gamma', which this version does not know"),
        (set_in("hyper_parameters", "gamma", 1), "no argument 'gamma'. It may be of a newer version"),
        (set_in("hyper_parameters", "optimizer", {"name": "lion"}), "argument 'optimizer'.* name: .*'lion'"),
        (set_in("hyper_parameters", "widths", [10**9]), "argument 'widths'.* from 1 to 65536"),
        (set_in("hyper_parameters", "widths", [60_000, 60_000]), r"ask for a tensor of \(60000, 60000, 3, 3\)"),
        (many_classes, r"ask for a tensor of \(100000, 100000\)"),
        (set_in("hyper_parameters", "widths", [9]), "its weights do not fit its CNNClassifier"),
        (lambda content: content["state_dict"].popitem(), "its weights do not fit its CNNClassifier"),
        (change_weight(lambda weight: weight.to_sparse()), "its weights do not fit.*: they differ in network.4.weight"),
        (change_weight(lambda weight: weight.to("meta")), "its weights do not fit.*: they differ in network.4.weight"),
        (change_weight(lambda weight: weight.int()), "its weights do not fit.*: they differ in network.4.weight"),
        (change_weight(quantized), "its weights do not fit.*: they differ in network.4.weight"),
        (change_names(lambda names: [names[0]] * len(names)), "class_names has an empty name, or a name twice"),
        (change_names(lambda names: ["", *names[1:]]), "class_names has an empty name, or a name twice"),
        (lambda content: content.__setitem__(1, 2), "a name in it has another type: expected text"),
    ],
)
def test_refused_before_it_is_built(checkpoint: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    content = torch.load(checkpoint, weights_only=True)
    change(content)
    torch.save(content, checkpoint)
    tracemalloc.start()
    with pytest.raises(UserError, match=message):
        load_classifier(read_checkpoint(checkpoint), CLASSIFIERS)
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()


def test_a_flipped_bit_in_a_weight(checkpoint: Path) -> None:
    """Torch reads it without an error."""
    content = bytearray(checkpoint.read_bytes())
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    weight = weights["network.4.weight"].numpy().tobytes()
    content[bytes(content).index(weight) + 3] ^= 4
    checkpoint.write_bytes(content)
    assert torch.load(checkpoint, weights_only=True)
    with pytest.raises(UserError, match=r"model\.ckpt', which cannot be read: it is damaged"):
        read_checkpoint(checkpoint)


def test_weights_that_are_not_finite(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = read_checkpoint(checkpoint)
    content["state_dict"]["network.0.0.weight"][0] = torch.nan
    load_classifier(content, CLASSIFIERS)
    assert "results mean nothing: network.0.0.weight" in caplog.text


def test_what_a_checkpoint_leaves_room_for() -> None:
    state = {"weight": torch.zeros(100, 100)}
    with NoLargerThan(state):
        assert torch.zeros((100, 100)).sum() == 0
        assert torch.arange(100)[-1] == 99
        with pytest.raises(ValueError, match=r"a tensor of \(1000000, 1000\)"):
            torch.empty(10**6, 1000)
    assert torch.empty(10).numel() == 10
