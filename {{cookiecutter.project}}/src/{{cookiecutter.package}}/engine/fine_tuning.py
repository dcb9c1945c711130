"""Staged fine-tuning: freezing by epoch, and cached features of a frozen backbone."""

import logging
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.progress import track
from torch import Tensor, nn

from ..errors import UserError
from .contracts import Classifier, FeatureExtractor, count_parameters
from .images import BatchDataset, LabelledImages
from .processes import gather_in_order
from .progress import bar_options

log = logging.getLogger(__name__)


class StagedFineTuning(Callback):
    """Freezes in each epoch the parameters that the classifier names for it.

    It keeps no state, so a resumed run is the same as an uninterrupted one. All parameters are in the optimizer from
    the first step, so a stage changes neither optimizer state nor schedule. (Lightning's BackboneFinetuning adds
    parameter groups during training: its issues 12141, 20340, 21531 and 21901.)
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        before = count_parameters(pl_module, trainable_only=True)
        pl_module.freeze_for_epoch(trainer.current_epoch)
        if (after := count_parameters(pl_module, trainable_only=True)) != before:
            shares = f"{after:,} of {count_parameters(pl_module):,}"
            log.info("From epoch %d on, %s parameters are trained.", trainer.current_epoch + 1, shares)

    on_train_start = on_train_epoch_start  # alone if the training resumes within an epoch


CacheFeatures = Literal["auto", "on", "off"]


class CachedFeatures(Callback):
    """Serves the features of training and validation images in place of the images until the backbone is unfrozen.

    Both loaders keep their image order, batch sizes and number of steps, so that schedules, checkpoints and resuming
    work as without the cache. Like the freezing, what is served depends only on the epoch ``e``: each training image
    has ``num_views`` augmented versions, of which version ``e`` modulo this number is served.
    """

    def __init__(self, mode: CacheFeatures, num_views: int) -> None:
        self.mode = mode
        self.num_views = num_views
        self.train_views: list[LabelledImages] = []
        self.val_features: LabelledImages | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # At this point, a resumed training has loaded its epoch and its weights.
        if not isinstance(pl_module, FeatureExtractor) or trainer.current_epoch >= pl_module.head_epochs:
            return
        if reason := self.reason_off(trainer, pl_module):
            log.info("Backbone features are not cached: %s.", reason)
            return
        train, val = datasets(trainer)
        num_views = self.num_views if train.augmentation is not None else 1
        views = "" if num_views == 1 else f", {num_views} augmented views of each"
        log.info("Caching backbone features of %s images%s.", f"{len(train) + len(val):,}", views)
        self.train_views = [
            compute_features(trainer, pl_module, train, view, f"Features {view + 1} of {num_views}")
            for view in range(num_views)
        ]
        self.val_features = compute_features(trainer, pl_module, val, 0, "Validation features")

    def reason_off(self, trainer: Trainer, model: Any) -> str:
        """Why features are not cached; empty if they are. ``auto`` caches if this saves time and changes no result."""
        if self.mode == "off":
            return "cache_features is off"
        data = trainer.datamodule  # type: ignore[attr-defined]
        for wrong, reason, remedy in (
            (model.mix is not None, "images are mixed", "--model.mix.name none"),
            (data.num_workers > 0, "workers load the images", "--data.num_workers 0"),
        ):
            if wrong and self.mode == "on":
                raise UserError(f"cache_features is on, but {reason}. Give {remedy}, or --cache_features auto.")
            if wrong:
                return reason
        num_epochs = min(model.head_epochs, trainer.max_epochs or model.head_epochs) - trainer.current_epoch
        if self.mode == "auto" and data.augmentation != "none" and num_epochs <= 2 * self.num_views:
            return f"{num_epochs} epochs with a frozen backbone are too few for {self.num_views} augmented views"
        if self.mode == "auto" and num_epochs < 2:
            return "the backbone is frozen for one epoch only"
        return ""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.train_views:
            return
        assert isinstance(pl_module, FeatureExtractor)
        train, val = datasets(trainer)
        if trainer.current_epoch < pl_module.head_epochs:
            train.features = self.train_views[trainer.current_epoch % len(self.train_views)]
            val.features = self.val_features
        else:
            self.on_train_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.train_views:
            for dataset in datasets(trainer):
                dataset.features = None
        self.train_views, self.val_features = [], None


def datasets(trainer: Trainer) -> list[BatchDataset]:
    """The data sets of the training and of the validation loader."""
    loaders: tuple[Any, ...] = (trainer.train_dataloader, trainer.val_dataloaders)
    return [loader.dataset for loader in loaders]


def compute_features(
    trainer: Trainer, model: Any, dataset: BatchDataset, view: int, description: str
) -> LabelledImages:
    """Compute the features (N, F) of all images of a data set, in order, with the trainer's precision and device.

    Each of W processes computes every W-th image. The random numbers of the augmentation depend on view and process.
    """
    features: list[Tensor] = []
    share = range(trainer.global_rank, len(dataset), trainer.world_size)
    batch_size = trainer.datamodule.batch_size  # type: ignore[attr-defined]
    was_training = model.training
    model.eval()
    with torch.random.fork_rng(), torch.no_grad(), trainer.precision_plugin.forward_context():
        torch.manual_seed(view * trainer.world_size + trainer.global_rank)
        for start in track(range(0, len(share), batch_size), description, **bar_options()):
            images, _ = dataset.__getitems__(list(share[start : start + batch_size]))
            features.append(model.features(images.to(model.device)).cpu())
    model.train(was_training)
    return LabelledImages(gather_in_order(torch.cat(features), trainer), dataset.split.labels, dataset.split.names)


class SayStepSize(Callback):
    """Logs the size of a step: more processes mean larger and fewer steps, which can make the result worse."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        loader: Any = trainer.train_dataloader
        if loader.batch_sampler.smallest == 1 and has_norm_of_one_value(pl_module, (trainer.max_epochs or 1) - 1):
            batch_size = trainer.datamodule.batch_size  # type: ignore[attr-defined]
            few = "" if batch_size == 1 else f", and each of {trainer.world_size} processes has 1 training image"
            raise UserError(
                f"data.batch_size is {batch_size}{few}: batch norm in this model cannot be trained on batches of 1 "
                "image. Give --data.batch_size 2 or more (32, for example) and at least 2 images for each process, or "
                "use a model without batch norm (--model MLPClassifier --model.batch_norm false)."
            )
        log.info("%s", step_size(trainer, pl_module))


def step_size(trainer: Trainer, model: Classifier) -> str:
    """Images per step over all processes, learning rate and number of steps, as one line."""
    images, given, num_steps = model.global_batch_size, model.optimizer_settings, trainer.estimated_stepping_batches
    counts = {"processes": trainer.world_size, "accumulated": trainer.accumulate_grad_batches}
    factors = [f"{count} {name}" for name, count in counts.items() if count > 1]
    per_process = images // trainer.world_size // trainer.accumulate_grad_batches
    product = f" ({' x '.join([str(per_process), *factors])})" if factors else ""
    settings = given.for_batch(images)
    scaled = "" if settings is given else f" ({given.lr:g} for {given.lr_for_batch_size})"
    length = f"{num_steps:,} steps in {trainer.max_epochs} epochs" if num_steps < float("inf") else "no limit of steps"
    return f"{images:,} images per step{product}, learning rate {settings.lr:g}{scaled}, {length}"


@torch.no_grad()
def has_norm_of_one_value(model: Any, last_epoch: int) -> bool:
    """Whether a trained batch norm layer gets one value per channel from a batch of one image."""
    frozen = {id(module) for part in model.frozen_modules(last_epoch) for module in part.modules()}
    found: list[bool] = []

    def look(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        found.append(inputs[0].numel() == inputs[0].shape[1])

    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)  # SyncBatchNorm normalises over all processes
    layers = [layer for layer in model.modules() if isinstance(layer, kinds) and id(layer) not in frozen]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    side = model.facts.image_size
    model.eval()
    model(torch.zeros(1, model.facts.num_channels, side, side, device=model.device))
    model.train()
    for hook in hooks:
        hook.remove()
    return any(found)
