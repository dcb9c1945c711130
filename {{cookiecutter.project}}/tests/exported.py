"""An export folder whose model tells colours apart, so that its predictions are known without a training."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from {{cookiecutter.package}}.predictor import DESCRIPTION, MODEL, digest_of

CLASS_NAMES = ["blue", "green", "red"]
SIZE, TEMPERATURE, THRESHOLD = 16, 1.25, 0.8


class ColourNetwork(nn.Module):
    """uint8 (N, 3, S, S) to logits and probabilities, (N, 3), which rise with the mean of a colour."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3, bias=False)
        self.head.weight.data = 20 * torch.eye(3).flip(0)  # red, green, blue to blue, green, red

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.head(images.float().mean(dim=(2, 3)) / 255)
        return logits, (logits / TEMPERATURE).softmax(dim=1)


def write_export(folder: Path, network: nn.Module | None = None, size: int = SIZE, **other: Any) -> Path:
    """Write the files that prediction and serving need; ``other`` replaces values of ``model.json``.

    ``network`` is used in place of ``ColourNetwork``, for images of ``size`` pixels.
    """
    folder.mkdir(parents=True)
    torch.onnx.export(
        (network or ColourNetwork()).eval(),
        (torch.zeros(2, 3, size, size, dtype=torch.uint8),),
        folder / MODEL,
        input_names=["images"],
        output_names=["logits", "probabilities"],
        opset_version=20,
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )
    description = {
        "format": 1,
        "model": "CNNClassifier",
        "class_names": CLASS_NAMES,
        "decoding": {"image_size": size, "num_channels": 3, "fit": "crop"},
        "temperature": TEMPERATURE,
        "abstain_below": THRESHOLD,
        "thresholds": [{"coverage": 0.95, "threshold": THRESHOLD, "num_images": 140, "accuracy": 0.98}],
        "test": {"accuracy": 0.95, "low": 0.91, "high": 0.97, "num_images": 153},
        "files": {MODEL: digest_of(folder / MODEL)},
    }
    (folder / DESCRIPTION).write_text(json.dumps(description | other), encoding="utf-8")
    with files("{{cookiecutter.package}}").joinpath("predictor.py").open("rb") as source:
        (folder / "predictor.py").write_bytes(source.read())
    (folder / "requirements.txt").write_text("numpy>=2.0\nonnxruntime>=1.20\npillow>=11.1\n", encoding="utf-8")
    return folder
