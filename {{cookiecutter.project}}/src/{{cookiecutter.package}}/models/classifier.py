"""The training logic of all classifiers: steps, loss, metrics and freezing. Subclasses build a network."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, Self

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from ..engine.images import Batch
from ..engine.metrics import StageMetrics, per_class_metrics
from ..engine.optimization import OptimizerSettings, ParameterGroup, ScheduleSettings, build_optimizer, build_schedule
from ..engine.preprocessing import MixSettings, Preprocess, build_mix
from ..engine.reading import from_plain, require_values
from ..facts import ImageFacts, to_plain
from ..values import Share


def build_metrics(stage: str, num_classes: int) -> dict[str, Metric]:
    """The metrics of a stage (``train``, ``val`` or ``test``) besides the loss, by name.

    A metric that is added here is recorded, shown in reports and W&B, and allowed as ``--monitor val/NAME``. The name
    of a metric whose low values are better must end in ``loss`` or ``error``.
    """
    metrics: dict[str, Metric] = {"acc": MulticlassAccuracy(num_classes, average="micro")}
    if stage != "train":
        metrics["balanced_acc"] = MulticlassAccuracy(num_classes, average="macro")
        metrics["f1"] = MulticlassF1Score(num_classes, average="macro")
    return metrics


MONITORS = ("val/loss", *(f"val/{name}" for name in build_metrics("val", num_classes=2)))

# The functions between the layers of networks that are trained from scratch.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
}
Activation = Literal["relu", "tanh", "sigmoid", "gelu"]


class ImageClassifier(LightningModule):
    """Maps images (N, C, H, W), uint8 or float in 0 to 255, to logits (N, K).

    A subclass takes ``facts``, its own arguments and ``**training``, calls ``super().__init__(facts, **training)`` and
    assigns ``network``, which maps normalised images (N, C, S, S) to logits (N, K). All arguments are hyperparameters,
    which checkpoints store as JSON types.

    Args:
        facts: facts of the data set; set by the CLI.
        optimizer: optimizer settings.
        schedule: learning-rate schedule settings.
        label_smoothing: share of the target that is spread over all classes; Szegedy et al., 2016, section 7.
        mix: mixup and CutMix settings.
        monitor: metric that the plateau schedule watches; set by the CLI.
    """

    preprocess: nn.Module
    network: nn.Module

    def __init__(
        self,
        facts: ImageFacts,
        optimizer: OptimizerSettings = OptimizerSettings(),
        schedule: ScheduleSettings = ScheduleSettings(),
        label_smoothing: Share = 0.0,
        mix: MixSettings = MixSettings(),
        monitor: str = "val/loss",
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # of all subclasses too
        require_values(type(self), self.hparams, "model")
        self.facts = from_plain(ImageFacts, facts)
        self.optimizer_settings = from_plain(OptimizerSettings, optimizer)
        self.schedule_settings = from_plain(ScheduleSettings, schedule)
        self.monitor = monitor
        num_classes, class_weights = self.facts.num_classes, self.facts.class_weights
        self.preprocess = Preprocess(self.facts.mean, self.facts.std)
        self.mix = build_mix(from_plain(MixSettings, mix), num_classes)
        # The training loss of logits (N, K) and labels (N,) or, if images are mixed, probabilities (N, K).
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.loss = nn.CrossEntropyLoss(weights, label_smoothing=label_smoothing)
        self.train_metrics = StageMetrics("train", build_metrics("train", num_classes))
        self.val_metrics = StageMetrics("val", build_metrics("val", num_classes))
        self.test_metrics = StageMetrics("test", build_metrics("test", num_classes))
        self.test_per_class = per_class_metrics(num_classes)
        self.test_logits: list[Tensor] = []  # of the last test, one tensor per batch
        self._frozen: list[nn.Module] = []

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.preprocess(images))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = batch
        mixed, mixed_targets = (images, targets) if self.mix is None else self.mix(images.float(), targets)
        logits = self(mixed)
        loss: Tensor = self.loss(logits, mixed_targets)
        self.train_metrics.update(loss, logits, targets)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log_dict(self.train_metrics.compute())
        scheduler, metrics = self.lr_schedulers(), self.trainer.callback_metrics
        if isinstance(scheduler, ReduceLROnPlateau) and self.monitor in metrics:
            scheduler.step(metrics[self.monitor].item())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, self.val_metrics)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.val_metrics.compute(), prog_bar=True)

    def on_test_epoch_start(self) -> None:
        self.test_per_class.reset()
        self.test_logits.clear()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self._evaluate(batch, self.test_metrics)
        self.test_per_class.update(logits, batch[1])
        self.test_logits.append(logits)

    def on_test_epoch_end(self) -> None:
        self.log_dict(self.test_metrics.compute())

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Logits (N, K)."""
        return self(batch[0])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        # A fused step unscales gradients itself, after clipping, so 16-mixed (which scales gradients) does not use it.
        fused = self.trainer.scaler is None
        settings = self.optimizer_settings.for_batch(self.global_batch_size)
        optimizer = build_optimizer(settings, self.parameter_groups(), fused=fused)
        num_steps, num_epochs = int(self.trainer.estimated_stepping_batches), self.trainer.max_epochs or 1
        schedule = build_schedule(self.schedule_settings, optimizer, num_steps, num_epochs, self.monitor)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    @property
    def global_batch_size(self) -> int:
        """Images per optimizer step, over all processes and accumulated batches."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        return int(data.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Leave the plateau schedule to ``on_train_epoch_end``: Lightning would step it after checkpoints are saved."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        norm = self.optimizer_settings.gradient_clip_norm if gradient_clip_val is None else gradient_clip_val
        self.clip_gradients(optimizer, norm, gradient_clip_algorithm or "norm")

    def parameter_groups(self) -> Iterable[ParameterGroup]:
        """All parameters, each in exactly one group, including frozen ones."""
        return [ParameterGroup("network", list(self.parameters()))]

    def frozen_modules(self, epoch: int) -> list[nn.Module]:
        """Modules that are frozen in an epoch (counted from 0); depends on the epoch only."""
        return []

    def freeze_for_epoch(self, epoch: int) -> None:
        """Freeze exactly ``frozen_modules(epoch)``: no gradients, and eval mode, so that batch norm is frozen too."""
        self._frozen = self.frozen_modules(epoch)
        self.requires_grad_(True)
        for module in self._frozen:
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store hyperparameters as plain types, so that every checkpoint loads with ``weights_only=True``."""
        checkpoint["hyper_parameters"] = to_plain(dict(self.hparams))

    def _evaluate(self, batch: Batch, metrics: StageMetrics) -> Tensor:
        """Logits of a batch; the loss is computed without label smoothing, so that recipes can be compared by it."""
        images, targets = batch
        logits: Tensor = self(images)
        metrics.update(F.cross_entropy(logits, targets), logits, targets)
        return logits
