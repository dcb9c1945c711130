"""Writes a classifier as an ONNX model and as a program of ``torch.export``, and quantizes the ONNX model."""

import errno
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...engine.environment import cpu_info
from ...files import replacing
from ...models import ImageClassifier

OPSET = 20  # onnxruntime's static quantization does not take 21; below 18 the exporter writes 18
# Layers whose inputs and outputs are quantized. The steps before the network (cast, resizing, normalisation) and after
# it (temperature, softmax) stay in float32.
QUANTIZED = ["Conv", "Gemm", "MatMul", "Add", "Mul", "Clip", "Relu", "GlobalAveragePool", "AveragePool", "MaxPool"]


class ExportedModel(nn.Module):
    """Maps uint8 images (N, C, S, S) to logits (N, K) and calibrated probabilities (N, K)."""

    def __init__(self, classifier: ImageClassifier, temperature: float) -> None:
        super().__init__()
        self.classifier = classifier
        self.temperature = temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.classifier(images)
        return logits, (logits / self.temperature).softmax(dim=1)


def trace(classifier: ImageClassifier, temperature: float) -> torch.export.ExportedProgram:
    """The program of ``torch.export``, for batches of any size."""
    facts = classifier.facts
    model = ExportedModel(classifier.cpu().eval().requires_grad_(False), temperature).eval()
    # A batch of one image would be taken for a constant (pytorch 157621).
    example = torch.zeros(2, facts.num_channels, facts.image_size, facts.image_size, dtype=torch.uint8)
    with quiet():
        return torch.export.export(model, (example,), dynamic_shapes={"images": {0: torch.export.Dim("batch")}})


def write_pt2(program: torch.export.ExportedProgram, file: Path) -> None:
    content = BytesIO()  # if the disk is full, torch's own writer of files ends the process
    with quiet():
        torch.export.save(program, content)
    with replacing(file, "wb") as stream:
        stream.write(content.getbuffer())


def write_onnx(program: torch.export.ExportedProgram, file: Path) -> None:
    """Write one file, with the weights in it; input ``images``, outputs ``logits`` and ``probabilities``."""
    with quiet():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["logits", "probabilities"],
            external_data=False,
            verbose=False,
        )
        assert exported is not None
        exported.save(file, external_data=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Exporters print and warn about their own internals."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


class Batches:
    """Calibration images for onnxruntime: uint8 (N, C, S, S), one at a time."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = iter(images)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self.images, None)
        return None if image is None else {"images": image[None]}


def write_int8(source: Path, file: Path, images: NDArray[np.uint8], *, reduce_range: bool) -> None:
    """Quantize weights (per channel) and activations to 8 bits; the ranges of activations are measured on ``images``.

    Dynamic quantization is not offered: EfficientNet-Lite0 lost 5 of 153 photographs and took 197 ms an image with it;
    static quantization per channel lost 1, and took 8 ms instead of the 37 ms of float32.

    Args:
        source: the float32 model.
        file: the model to write, with the same inputs and outputs.
        images: training images, uint8 (N, C, S, S).
        reduce_range: use 7 bits for weights, because the sums of CPUs without VNNI overflow with 8.

    Raises:
        OSError: the disk is full.
    """
    from google.protobuf.message import DecodeError
    from onnxruntime import quantization

    class Reader(Batches, quantization.CalibrationDataReader):  # type: ignore[misc]
        pass

    prepared = file.with_suffix(".prepared.onnx")
    try:
        with quiet():
            quantization.shape_inference.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(file),
                Reader(images),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=QUANTIZED,
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
    except DecodeError as error:  # onnx writes a file and reads it back, and does not see that the disk was full
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file)) from error
    finally:
        prepared.unlink(missing_ok=True)


def cpu_flags() -> list[str]:
    """Instruction sets of this CPU that matter for speed and for 8-bit sums; empty where they are not known."""
    known = cpu_info("flags", "Features").split()
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimddp", "i8mm")
    return [flag for flag in wanted if flag in known]
