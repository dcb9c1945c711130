"""What the engine needs of data modules and classifiers. It imports none: ``data`` and ``models`` define them."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from ..errors import UserError, did_you_mean
from ..facts import ImageFacts
from .images import Batch, LabelledImages
from .metrics import StageMetrics
from .optimization import OptimizerSettings
from .splits import Split

T = TypeVar("T")


class DataModule(Protocol):
    """A data module of images; ``data.base.ImageDataModule`` is one."""

    batch_size: int
    num_workers: int
    augmentation: Any

    @property
    def facts(self) -> ImageFacts: ...

    @property
    def split_hash(self) -> str: ...

    def split(self, split: Split) -> LabelledImages: ...

    def digests(self, split: Split) -> Tensor | None: ...

    def evaluation_loader(self, split: Split) -> DataLoader[Batch]: ...


@runtime_checkable
class Classifier(Protocol):
    """A classifier; ``models.classifier.ImageClassifier`` is one."""

    facts: ImageFacts
    optimizer_settings: OptimizerSettings
    train_metrics: StageMetrics
    test_per_class: MetricCollection
    test_logits: list[Tensor]  # of the last test, one tensor per batch

    @property
    def global_batch_size(self) -> int: ...

    def frozen_modules(self, epoch: int) -> list[nn.Module]: ...

    def freeze_for_epoch(self, epoch: int) -> None: ...


@runtime_checkable
class FeatureExtractor(Protocol):
    """A classifier whose frozen backbone maps images to features (N, F) in its first ``head_epochs`` epochs."""

    head_epochs: int

    def features(self, images: Tensor) -> Tensor: ...


def class_named(name: str, classes: Mapping[str, type[T]], what: str) -> type[T]:
    """The class of that name in a fixed table: nothing else that a config or checkpoint names is imported."""
    if name not in classes:
        raise UserError(f"{what} is {name!r}, which is not a class of this project. {did_you_mean(name, classes)}")
    return classes[name]


def count_parameters(module: nn.Module, *, trainable_only: bool = False) -> int:
    return sum(part.numel() for part in module.parameters() if part.requires_grad or not trainable_only)
