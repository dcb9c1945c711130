"""Caches the features of a frozen backbone, so that the head is trained without computing them in every epoch."""

from __future__ import annotations

import logging
from typing import Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.progress import track
from torch import Tensor

from ..data import ImageDataModule
from ..data.decoding import bar_options
from ..data.labelled_images import BatchDataset, LabelledImages
from ..errors import UserError
from ..models import TransferClassifier
from .processes import gather_in_order

CacheFeatures = Literal["auto", "on", "off"]

log = logging.getLogger(__name__)


class CachedFeatures(Callback):
    """Serves the features of training and validation images in place of the images until the backbone is unfrozen.

    Both loaders keep their image order, batch sizes and number of steps, so that schedules, checkpoints and resuming
    work as without the cache. Like the freezing, what is served depends only on the epoch.

    Args:
        mode: ``auto`` caches if this saves time and does not change the training; see ``reason_off``.
        num_views: augmented versions of each training image; epoch ``e`` trains on version ``e`` modulo this number.
    """

    def __init__(self, mode: CacheFeatures, num_views: int) -> None:
        if num_views < 1:
            raise UserError(f"feature_views is {num_views}; it must be 1 or more.")
        self.mode = mode
        self.num_views = num_views
        self.train_views: list[LabelledImages] = []
        self.val_features: LabelledImages | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # At this point, a resumed training has loaded its epoch and its weights.
        if not isinstance(pl_module, TransferClassifier) or trainer.current_epoch >= pl_module.head_epochs:
            return
        reason = self.reason_off(trainer, pl_module)
        if reason:
            log.info("Backbone features are not cached: %s.", reason)
            return
        self.compute(trainer, pl_module)

    def reason_off(self, trainer: Trainer, model: TransferClassifier) -> str:
        """Why features are not cached; empty if they are cached.

        Raises:
            UserError: the mode is ``on``, but features cannot be cached.
        """
        if self.mode == "off":
            return "cache_features is off"
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]
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

    def compute(self, trainer: Trainer, model: TransferClassifier) -> None:
        train, val = dataset_of(trainer.train_dataloader), dataset_of(trainer.val_dataloaders)
        num_views = self.num_views if train.augmentation is not None else 1
        views = "" if num_views == 1 else f", {num_views} augmented views of each"
        log.info("Caching backbone features of %s images%s.", f"{len(train) + len(val):,}", views)
        batch_size = trainer.datamodule.batch_size  # type: ignore[attr-defined]
        self.train_views = [
            compute_features(trainer, model, train, batch_size, view, f"Features {view + 1} of {num_views}")
            for view in range(num_views)
        ]
        self.val_features = compute_features(trainer, model, val, batch_size, 0, "Validation features")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.train_views or self.val_features is None:
            return
        assert isinstance(pl_module, TransferClassifier)
        train, val = dataset_of(trainer.train_dataloader), dataset_of(trainer.val_dataloaders)
        if trainer.current_epoch < pl_module.head_epochs:
            train.features = self.train_views[trainer.current_epoch % len(self.train_views)]
            val.features = self.val_features
        else:
            self.forget(train, val)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.train_views:
            self.forget(dataset_of(trainer.train_dataloader), dataset_of(trainer.val_dataloaders))

    def forget(self, *datasets: BatchDataset) -> None:
        for dataset in datasets:
            dataset.features = None
        self.train_views, self.val_features = [], None


def dataset_of(loader: object) -> BatchDataset:
    dataset = getattr(loader, "dataset", None)
    assert isinstance(dataset, BatchDataset)
    return dataset


def compute_features(
    trainer: Trainer, model: TransferClassifier, dataset: BatchDataset, batch_size: int, view: int, description: str
) -> LabelledImages:
    """Compute the features (N, F) of all images of a data set, in order, with the trainer's precision and device.

    Each of W processes computes every W-th image. The random numbers of the augmentation depend on the view and the
    process only, so that those of the training are the same as without a cache.
    """
    features: list[Tensor] = []
    share = range(trainer.global_rank, len(dataset), trainer.world_size)
    was_training = model.training
    model.eval()
    with torch.random.fork_rng(), torch.no_grad(), trainer.precision_plugin.forward_context():
        torch.manual_seed(view * trainer.world_size + trainer.global_rank)
        for start in track(range(0, len(share), batch_size), description, **bar_options()):
            images, _ = dataset.__getitems__(list(share[start : start + batch_size]))
            features.append(model.features(images.to(model.device)).cpu())
    model.train(was_training)
    of_all = gather_in_order(torch.cat(features), trainer)
    return LabelledImages(of_all, dataset.split.labels, dataset.split.names)
