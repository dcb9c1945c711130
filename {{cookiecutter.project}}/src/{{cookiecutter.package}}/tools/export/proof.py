"""Proves that an exported model answers as the checkpoint does, on the run's own images, through the predictor."""

import importlib.util
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from statistics import NormalDist
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ...data.image_folder import ImageFilesDataModule
from ...engine.results import SplitOutputs
from ...engine.splits import Split
from ...errors import some
from ...facts import ImageFacts
from ...models import ImageClassifier
from ...predictor import Decoding, Source, to_image

BATCH_SIZE = 64
BATCH_SIZES = (1, 2, 7, 32)
TOLERANCE = 1e-4  # largest difference of a probability
TIE = 1e-5  # two classes whose probabilities differ less may change places
NUM_NAMED = 5

Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # images (N, C, S, S) to probabilities (N, K)
References = Mapping[Split, "Reference"]


@dataclass
class Reference:
    """What the checkpoint answers for the images of a split."""

    sources: list[Source]  # files, or images in memory for data sets without files
    pixels: Any  # the images as the run decodes them: uint8 (N, C, S, S), indexed by a tensor
    outputs: SplitOutputs


def refer(classifier: ImageClassifier, data: Any, split: Split, temperature: float) -> Reference:
    """Classify a split with torch, in float32, from the images that the run itself decodes."""
    images = data.split(split)
    classifier = classifier.cpu().eval()
    logits = []
    with torch.inference_mode():
        for index in torch.split(torch.arange(len(images)), BATCH_SIZE):
            logits.append(classifier(images.images[index]).float())
    if isinstance(data, ImageFilesDataModule):
        sources: list[Source] = [str(data.root / name) for name in images.names]
    else:
        sources = ImagesInMemory(images.images, len(images))  # type: ignore[assignment]
    outputs = SplitOutputs(list(images.names), images.labels.numpy(), torch.cat(logits).numpy(), None, temperature)
    return Reference(sources, images.images, outputs)


class ImagesInMemory:
    """The images of a data set without files, as pictures."""

    def __init__(self, images: Any, num: int) -> None:
        self.images, self.num = images, num

    def __len__(self) -> int:
        return self.num

    def __iter__(self) -> Iterator[Source]:
        for index in torch.split(torch.arange(self.num), BATCH_SIZE):
            yield from (to_image(image, "an image of the data set") for image in self.images[index])


@dataclass
class Proof:
    """The comparison of one model file with the checkpoint; ``failures`` is empty if they agree."""

    file: str
    num_images: int = 0
    num_same_class: int = 0
    num_ties: int = 0
    largest_difference: float = 0.0  # of a probability
    differing: list[str] = field(default_factory=list)  # names of images, at most ``NUM_NAMED``
    num_decoded_otherwise: int = 0  # images whose pixels differ from those that the run decoded
    failures: list[str] = field(default_factory=list)

    def add(self, names: list[str], found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
        """Compare the probabilities (N, K) of N images; the classes of both have the same order."""
        self.num_images += len(names)
        if not np.isfinite(found).all():
            self.largest_difference = math.inf
        difference = np.abs(found - expected).max(axis=1, initial=0.0)
        self.largest_difference = max(self.largest_difference, float(difference.max(initial=0.0)))
        top = expected.argmax(axis=1)
        is_same = found.argmax(axis=1) == top
        everyone = np.arange(len(names))
        is_tie = ~is_same & (expected[everyone, top] - expected[everyone, found.argmax(axis=1)] < TIE)
        self.num_same_class += int(is_same.sum())
        self.num_ties += int(is_tie.sum())
        is_wrong = (~is_same & ~is_tie) | ~(difference <= TOLERANCE)
        self.differing += [names[i] for i in np.flatnonzero(is_wrong)][: NUM_NAMED - len(self.differing)]

    def judge(self) -> None:
        """Add a failure where a class or a probability differs, with the likely reason."""
        num_wrong = self.num_images - self.num_same_class - self.num_ties
        if not num_wrong and self.largest_difference <= TOLERANCE:
            return
        if self.num_decoded_otherwise:
            reason = (
                f"{self.num_decoded_otherwise:,} images have other pixels than in the run: the predictor decodes them "
                "in another way, or the files or Pillow have changed since they were decoded"
            )
        else:
            reason = "their pixels are the same, so the model file computes something else than the checkpoint"
        self.failures.append(
            f"it names another class for {num_wrong:,} of {self.num_images:,} images, and a probability "
            f"differs by {self.largest_difference:.2g} (allowed: {TOLERANCE:g}). Among them: {some(self.differing)}. "
            f"The likely reason: {reason}"
        )


def prove(
    name: str, predictor: ModuleType, folder: Path, classify: Classify, references: References, facts: ImageFacts
) -> Proof:
    """Compare a model with the checkpoint on all images of the references, which the folder's predictor decodes."""
    proof, description = Proof(name), predictor.read_description(folder)
    decoding = predictor.Decoding(**description["decoding"])
    proof.failures += description_failures(description, facts, references["val"].outputs.temperature)
    proof.failures += decoding_failures(decoding, facts)
    failures = batch_failures(classify, references["val"])
    if failures:
        proof.failures += failures
        return proof
    try:
        for reference in references.values():
            compare(proof, predictor, decoding, classify, reference)
    except OSError as error:  # an image that the predictor cannot read
        proof.failures.append(str(error))
        return proof
    proof.judge()
    return proof


def compare(
    proof: Proof, predictor: ModuleType, decoding: Any, classify: Classify, reference: Reference
) -> NDArray[np.int64]:
    """Add all images of a split to a proof. Returns the predicted classes (N,); all images must be readable."""
    expected, names, first = reference.outputs.probabilities, reference.outputs.names, 0
    predicted = []
    for pixels in decoded_by(predictor, decoding, reference.sources):
        here = list(range(first, first + len(pixels)))
        first += len(pixels)
        own = reference.pixels[torch.tensor(here)].numpy()
        proof.num_decoded_otherwise += int((pixels != own).any(axis=(1, 2, 3)).sum())
        found = classify(pixels)
        proof.add([names[i] for i in here], found, expected[here])
        predicted.append(found.argmax(axis=1))
    return np.concatenate(predicted)


def decoded_by(predictor: ModuleType, decoding: Any, sources: Iterable[Source]) -> Iterator[NDArray[np.uint8]]:
    """Batches of images (N, C, S, S), as the exported predictor decodes them."""
    for paths, decoded in predictor.decode_batches(sources, decoding, BATCH_SIZE):
        for path, image in zip(paths, decoded, strict=True):
            if isinstance(image, str):
                raise OSError(f"the predictor cannot read {path}: {image}")
        yield np.stack(decoded).transpose(0, 3, 1, 2)


def description_failures(description: Mapping[str, Any], facts: ImageFacts, temperature: float) -> list[str]:
    """Whether class names and temperature are those of the checkpoint."""
    found: list[str] = description["class_names"]
    failures = []
    if found != facts.class_names:
        failures.append(
            f"the classes of the export are {some(found)}; those of the checkpoint {some(facts.class_names)}"
        )
    if description["temperature"] != temperature:
        failures.append(f"the temperature is {description['temperature']}; that of the checkpoint is {temperature}")
    return failures


def decoding_failures(decoding: Any, facts: ImageFacts) -> list[str]:
    """Whether the exported predictor decodes difficult images exactly as this project does; names those that differ."""
    own = Decoding(facts.image_size, facts.num_channels, facts.fit)
    differing = []
    for name, content in difficult_images(facts.image_size):
        try:
            is_same = np.array_equal(decoding.decode(BytesIO(content)), own.decode(BytesIO(content)))
        except Exception:  # an error of either is a difference
            is_same = False
        differing += [] if is_same else [name]
    return [f"the predictor decodes these images in another way than the training: {some(differing)}"] * bool(differing)


def difficult_images(side: int) -> Iterator[tuple[str, bytes]]:
    """Images on which decoders differ, made with a fixed seed: a name and the content of a file."""
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (12, 9, 3), np.uint8)
    picture = Image.fromarray(smooth).resize((5 * side, 6 * side + 1), Image.Resampling.BICUBIC)
    noise = Image.fromarray(rng.integers(0, 256, (side + 13, 2 * side + 5, 3), np.uint8))
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"EXIF orientation {orientation}", encoded(noise, "PNG", exif=exif)
    yield "a large JPEG", encoded(picture, "JPEG", quality=90)
    yield "a grey JPEG", encoded(picture.convert("L"), "JPEG")
    yield "a CMYK JPEG", encoded(picture.convert("CMYK"), "JPEG")
    yield "a wide image", encoded(noise.resize((7 * side, side // 2 + 1)), "PNG")
    yield "a tall image", encoded(noise.resize((side // 2 + 1, 7 * side)), "PNG")
    yield "a tiny image", encoded(noise.resize((3, 2)), "PNG")
    transparent = noise.convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize(noise.size))
    yield "a transparent image", encoded(transparent, "PNG")
    yield "an image with a palette", encoded(noise.quantize(16), "PNG")
    yield "an image of 16 bits", encoded(Image.fromarray(rng.integers(0, 65536, (50, 70), np.uint16)), "PNG")


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def batch_failures(classify: Classify, reference: Reference) -> list[str]:
    """Whether batches of several sizes can be computed and have the same answers."""
    index = torch.arange(max(BATCH_SIZES)) % len(reference.outputs)
    pixels, found, failures = reference.pixels[index].numpy(), {}, []
    for size in BATCH_SIZES:
        try:
            found[size] = classify(pixels[:size])
        except Exception as error:  # a model can fail in any way
            failures.append(f"it fails on a batch of {size}: {' '.join(str(error).split())[:300]}")
    for size, answers in found.items():
        expected = found[max(found)][:size]
        if answers.shape != expected.shape or np.abs(answers - expected).max() > TOLERANCE:
            failures.append(f"its answers in a batch of {size} differ from those in a batch of {max(found)}")
    return failures


def open_predictor(folder: Path) -> ModuleType:
    """The module ``predictor.py`` of the folder, which is proven instead of the one of this package."""
    spec = importlib.util.spec_from_file_location("exported_predictor", folder / "predictor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class PairedLoss:
    """Accuracy that a second model loses against a first one, on the same images; shares from 0 to 1."""

    num_images: int
    num_lost: int  # images that only the first classifies correctly
    num_won: int  # images that only the second classifies correctly

    @property
    def loss(self) -> float:
        return (self.num_lost - self.num_won) / self.num_images

    def upper_bound(self, confidence: float = 0.95) -> float:
        """One-sided upper bound of the loss: Tango's score interval of paired shares (Tango, 1998, section 3).

        It holds for few images and where no image differs: n images bound the loss by about 2.7 / n at best.
        """
        from scipy.optimize import brentq

        n, lost, won, z = self.num_images, self.num_lost, self.num_won, NormalDist().inv_cdf(confidence)

        def excess(loss: float) -> float:
            b = (2 * n - lost + won) * loss - lost - won
            share = (math.sqrt(max(0.0, b * b + 8 * n * won * loss * (1 - loss))) - b) / (4 * n)
            return (lost - won - n * loss) + z * math.sqrt(max(0.0, n * (2 * share + loss * (1 - loss))))

        # The loss itself is a root where no image differs.
        return 1.0 if self.loss >= 1 else float(brentq(excess, self.loss + 1e-9, 1 - 1e-12))


def paired_loss(predicted: NDArray[np.int64], outputs: SplitOutputs) -> PairedLoss:
    """Compare the predicted classes (N,) of a second model with the outputs of a first one."""
    before, after = outputs.is_correct, predicted == outputs.labels
    return PairedLoss(len(before), int((before & ~after).sum()), int((after & ~before).sum()))
