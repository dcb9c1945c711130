"""What holds for every classifier."""

import json
from dataclasses import asdict
from inspect import signature

import pytest
import torch

from {{cookiecutter.package}}.data import ImageFacts
from {{cookiecutter.package}}.engine.command_line import compile_networks
from {{cookiecutter.package}}.engine.optimization import OptimizerSettings, ScheduleSettings
from {{cookiecutter.package}}.errors import UserError
from {{cookiecutter.package}}.facts import to_plain
from {{cookiecutter.package}}.models import CLASSIFIERS, CNNClassifier, ImageClassifier, MLPClassifier


@pytest.fixture(params=CLASSIFIERS)
def classifier(request: pytest.FixtureRequest, facts: ImageFacts) -> ImageClassifier:
    torch.manual_seed(0)
    small = {"backbone": "mobilenet_v3_small", "weights": "none", "input_size": 32, "head_epochs": 0}
    arguments: dict[str, object] = small if request.param == "TransferClassifier" else {}
    optimizer = OptimizerSettings(lr=0.003)
    classifier = CLASSIFIERS[request.param]
    if "dropout" in signature(classifier).parameters:  # it would make two passes over the same images differ
        arguments = arguments | {"dropout": 0.0}
    return classifier(facts, optimizer=optimizer, **arguments)  # type: ignore[arg-type]


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Nine images, three a class, each class of one brightness."""
    torch.manual_seed(0)
    labels = torch.arange(9) % 3
    images = torch.randint(0, 60, (9, 3, 16, 16)) + labels.view(-1, 1, 1, 1) * 90
    return images.to(torch.uint8), labels


def test_uint8_images_become_logits(classifier: ImageClassifier) -> None:
    logits = classifier.eval()(batch()[0])
    assert logits.shape == (9, 3)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_every_parameter_is_in_one_group_and_gets_a_gradient(classifier: ImageClassifier) -> None:
    grouped = [id(parameter) for group in classifier.parameter_groups() for parameter in group.parameters]
    assert sorted(grouped) == sorted(id(parameter) for parameter in classifier.parameters())
    images, labels = batch()
    classifier.loss(classifier.train()(images), labels).backward()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_overfits_one_batch(classifier: ImageClassifier) -> None:
    images, labels = batch()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=0.003)
    for _ in range(100):
        optimizer.zero_grad()
        loss = classifier.loss(classifier.train()(images), labels)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_hyperparameters_are_plain_and_enough_to_rebuild(classifier: ImageClassifier) -> None:
    plain = json.loads(json.dumps(to_plain(dict(classifier.hparams))))
    rebuilt = type(classifier)(**plain)
    rebuilt.load_state_dict(classifier.state_dict())
    assert rebuilt.optimizer_settings == OptimizerSettings(lr=0.003)
    assert rebuilt.facts == classifier.facts
    images = batch()[0]
    assert torch.equal(rebuilt.eval()(images), classifier.eval()(images))


@pytest.mark.parametrize("classifier", [MLPClassifier, CNNClassifier])
def test_checkpoints_from_before_the_activation_load(classifier: type[ImageClassifier], facts: ImageFacts) -> None:
    """They have no such hyperparameter, and the same weights; their networks have ReLU."""
    saved = classifier(facts)
    plain = to_plain(dict(saved.hparams))
    assert plain.pop("activation") == "relu"
    loaded = classifier(**plain)
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(loaded.eval()(batch()[0]), saved.eval()(batch()[0]))


def test_hyperparameters_have_all_settings_even_those_not_given(classifier: ImageClassifier) -> None:
    """A checkpoint must not depend on defaults, which can change; ``training`` itself is none."""
    own = [name for name in signature(type(classifier)).parameters if name != "training"]
    assert classifier.hparams.keys() == {*own, *signature(ImageClassifier).parameters}
    assert classifier.hparams["label_smoothing"] == 0.0
    assert to_plain(classifier.hparams["schedule"]) == asdict(ScheduleSettings())


def test_a_classifier_refuses_a_setting_that_does_not_exist(facts: ImageFacts) -> None:
    with pytest.raises(TypeError, match="label_smoothin"):
        MLPClassifier(facts, label_smoothin=0.1)


@pytest.mark.parametrize("saved_compiled", [True, False])
@pytest.mark.parametrize("loaded_compiled", [True, False])
def test_state_loads_compiled_or_not(classifier: ImageClassifier, saved_compiled: bool, loaded_compiled: bool) -> None:
    images, plain = batch()[0], classifier.eval()(batch()[0])
    loaded = type(classifier)(**to_plain(dict(classifier.hparams)))
    for model, compiled in ((classifier, saved_compiled), (loaded, loaded_compiled)):
        if compiled:
            compile_networks(model, backend="eager")  # the names in the state do not depend on the backend
    classifier(images)
    loaded.load_state_dict(classifier.state_dict())
    torch.testing.assert_close(loaded.eval()(images), plain)


@pytest.mark.parametrize(("argument", "value"), [("dropout", 1.0), ("label_smoothing", -0.5)])
def test_wrong_numbers_are_echoed(classifier: ImageClassifier, argument: str, value: float) -> None:
    if argument not in classifier.hparams:
        pytest.skip(f"{type(classifier).__name__} has no {argument}")
    arguments = dict(classifier.hparams) | {argument: value}
    with pytest.raises(UserError, match=rf"model\.{argument} is {value}"):
        type(classifier)(**arguments)
