"""A model that is wrong in one of ten ways is not exported: each fault is planted, and the proof names it."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from {{cookiecutter.package}} import predictor as standalone
from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.data.image_folder import ImageFolderDataModule
from {{cookiecutter.package}}.engine.preprocessing import Preprocess
from {{cookiecutter.package}}.models import CNNClassifier, ImageClassifier, MLPClassifier
from {{cookiecutter.package}}.models.classifier import ACTIVATIONS, Activation
from {{cookiecutter.package}}.predictor import digest_of
from {{cookiecutter.package}}.tools.export.export import SPLITS
from {{cookiecutter.package}}.tools.export.graph import ExportedModel, trace, write_onnx
from {{cookiecutter.package}}.tools.export.proof import PairedLoss, Proof, open_predictor, prove, refer

from ...conftest import whole

TEMPERATURE = 2.0
SIDE = 24


@dataclass
class Trained:
    """A classifier and its images."""

    classifier: ImageClassifier
    data: ImageFolderDataModule


@pytest.fixture
def trained(photos: Path) -> Trained:
    """Images are padded to 24 pixels, which the network reduces to 16."""
    data = ImageFolderDataModule(root=str(photos), image_size=SIDE, fit="pad", cache="memory")
    torch.manual_seed(0)
    classifier = CNNClassifier(data.facts, widths=[8])
    classifier.preprocess = Preprocess(data.facts.mean, data.facts.std, input_size=16)
    images, labels = whole(data.split("train")), data.split("train").labels
    optimizer = torch.optim.Adam(classifier.parameters(), lr=0.02)
    for _ in range(20):  # until the answers differ, and before all are certain
        optimizer.zero_grad()
        nn.functional.cross_entropy(classifier(images), labels).backward()
        optimizer.step()
    return Trained(classifier.eval(), data)


def write_export(folder: Path, classifier: ImageClassifier, temperature: float = TEMPERATURE) -> None:
    write_onnx(trace(classifier, temperature), folder / "model.onnx")
    describe(folder, classifier.facts)


def describe(folder: Path, facts: ImageFacts, **changes: object) -> None:
    decoding = {name: getattr(facts, name) for name in ("image_size", "num_channels", "fit")}
    description: dict[str, object] = {
        "format": 1,
        "class_names": facts.class_names,
        "decoding": decoding,
        "temperature": TEMPERATURE,
        "abstain_below": 0.0,
        "files": {"model.onnx": digest_of(folder / "model.onnx")},
    }
    (folder / "model.json").write_text(json.dumps(description | changes), encoding="utf-8")
    if not (folder / "predictor.py").exists():
        replace_in_predictor(folder, "", "")


def replace_in_predictor(folder: Path, old: str, new: str) -> None:
    source = Path(str(standalone.__file__)).read_text(encoding="utf-8")
    assert old in source
    (folder / "predictor.py").write_text(source.replace(old, new), encoding="utf-8")


def proof_of(folder: Path, trained: Trained) -> Proof:
    references = {split: refer(trained.classifier, trained.data, split, TEMPERATURE) for split in SPLITS}
    predictor = open_predictor(folder)
    classify = predictor.Predictor(folder).classify
    return prove("model.onnx", predictor, folder, classify, references, trained.classifier.facts)


def bgr(folder: Path, trained: Trained) -> None:
    write_export(folder, trained.classifier)
    replace_in_predictor(folder, "np.asarray(square).reshape(self.shape)", "np.asarray(square)[..., ::-1]")


def no_antialias_in_the_decoding(folder: Path, trained: Trained) -> None:
    write_export(folder, trained.classifier)
    replace_in_predictor(folder, "Image.Resampling.BILINEAR", "Image.Resampling.NEAREST")


def no_antialias_in_the_graph(folder: Path, trained: Trained) -> None:
    faulty = deepcopy(trained.classifier)

    class Aliased(Preprocess):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pixels = torch.nn.functional.interpolate(images.float(), (16, 16), mode="bilinear")
            return (pixels - self.mean) / self.std

    faulty.preprocess = Aliased(faulty.facts.mean, faulty.facts.std, input_size=16)
    write_export(folder, faulty)


def wrong_mean(folder: Path, trained: Trained) -> None:
    faulty = deepcopy(trained.classifier)
    faulty.preprocess = Preprocess([0.5, 0.5, 0.5], faulty.facts.std, input_size=16)
    write_export(folder, faulty)


def wrong_order_of_classes(folder: Path, trained: Trained) -> None:
    write_export(folder, trained.classifier)
    describe(folder, trained.classifier.facts, class_names=trained.classifier.facts.class_names[::-1])


def batch_frozen(folder: Path, trained: Trained) -> None:
    model = ExportedModel(trained.classifier, TEMPERATURE).eval()
    example = torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8)
    write_onnx(torch.export.export(model, (example,)), folder / "model.onnx")
    describe(folder, trained.classifier.facts)


def missing_temperature(folder: Path, trained: Trained) -> None:
    write_export(folder, trained.classifier, temperature=1.0)


def other_jpeg_decoding(folder: Path, trained: Trained) -> None:
    write_export(folder, trained.classifier)
    replace_in_predictor(folder, 'image.draft("RGB", (2 * self.image_size, 2 * self.image_size))', "pass")


def exif_ignored(folder: Path, trained: Trained) -> None:
    write_export(folder, trained.classifier)
    replace_in_predictor(folder, "ImageOps.exif_transpose(image, in_place=True)", "pass")


def crop_instead_of_pad(folder: Path, trained: Trained) -> None:
    write_export(folder, trained.classifier)
    facts = trained.classifier.facts
    describe(folder, facts, decoding={"image_size": SIDE, "num_channels": 3, "fit": "crop"})


def stale_weights(folder: Path, trained: Trained) -> None:
    torch.manual_seed(1)
    other = deepcopy(trained.classifier)
    for parameter in other.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    write_export(folder, other)


FAULTS: dict[Callable[[Path, Trained], None], str] = {
    bgr: "decodes these images in another way",
    no_antialias_in_the_decoding: "decodes these images in another way",
    no_antialias_in_the_graph: "the model file computes something else",
    wrong_mean: "the model file computes something else",
    wrong_order_of_classes: "the classes of the export are red, green, blue",
    batch_frozen: "batch of 7",
    missing_temperature: "the model file computes something else",
    other_jpeg_decoding: "decodes these images in another way than the training: a large JPEG",
    exif_ignored: "decodes these images in another way than the training: EXIF orientation 2",
    crop_instead_of_pad: "decodes these images in another way",
    stale_weights: "the model file computes something else",
}


def test_a_faithful_export_is_proven(trained: Trained, tmp_path: Path) -> None:
    write_export(tmp_path, trained.classifier)
    proof = proof_of(tmp_path, trained)
    assert proof.failures == []
    assert proof.num_images == proof.num_same_class == 17
    assert proof.largest_difference < 1e-5


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("network", [MLPClassifier, CNNClassifier])
def test_an_export_with_each_activation_is_proven(
    network: type[MLPClassifier | CNNClassifier], activation: Activation, photos: Path, tmp_path: Path
) -> None:
    data = ImageFolderDataModule(root=str(photos), image_size=SIDE, fit="pad", cache="memory")
    torch.manual_seed(0)
    trained = Trained(network(data.facts, activation=activation).eval(), data)
    write_export(tmp_path, trained.classifier)
    assert proof_of(tmp_path, trained).failures == []


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_fault_is_caught(plant: Callable[[Path, Trained], None], trained: Trained, tmp_path: Path) -> None:
    plant(tmp_path, trained)
    proof = proof_of(tmp_path, trained)
    assert any(FAULTS[plant] in failure for failure in proof.failures), proof.failures


def test_images_that_differ_are_named(trained: Trained, tmp_path: Path) -> None:
    wrong_mean(tmp_path, trained)
    proof = proof_of(tmp_path, trained)
    assert proof.differing
    assert all((trained.data.root / name).is_file() for name in proof.differing)
    assert f"Among them: {proof.differing[0]}" in proof.failures[-1]


def test_classes_that_are_equally_probable_may_change_places() -> None:
    proof = Proof("model.onnx")
    expected = np.array([[0.500001, 0.499999], [0.7, 0.3]], np.float32)
    proof.add(["a", "b"], np.array([[0.499999, 0.500001], [0.7, 0.3]], np.float32), expected)
    proof.judge()
    assert (proof.num_same_class, proof.num_ties, proof.failures) == (1, 1, [])


def test_an_output_that_is_not_finite_is_no_proof() -> None:
    proof = Proof("model.onnx")
    proof.add(["a"], np.array([[np.nan, 0.5]], np.float32), np.array([[0.4, 0.6]], np.float32))
    proof.judge()
    assert len(proof.failures) == 1


def test_bounds_against_published_ones() -> None:
    """Tango (1998), table for 44 pairs with one that differs: two-sided 95 % interval (-0.0594, 0.1181)."""
    assert PairedLoss(44, 1, 0).upper_bound(0.975) == pytest.approx(0.1181, abs=1e-4)
    assert PairedLoss(44, 0, 1).upper_bound(0.975) == pytest.approx(0.0594, abs=1e-4)


def test_no_difference_among_few_images_proves_little() -> None:
    z2 = 1.6448536**2
    assert PairedLoss(153, 0, 0).upper_bound() == pytest.approx(z2 / (153 + z2), abs=1e-6)
    assert PairedLoss(153, 153, 0).upper_bound() == 1.0


@pytest.mark.parametrize(("lost", "won"), [(0.02, 0.01), (0.01, 0.0), (0.05, 0.05)])
def test_the_bound_holds_in_95_of_100_draws(lost: float, won: float) -> None:
    rng = np.random.default_rng(0)
    draws = rng.multinomial(200, [lost, won, 1 - lost - won], size=1000)
    share = np.mean([PairedLoss(200, int(a), int(b)).upper_bound() >= lost - won for a, b, _ in draws])
    assert share > 0.93
