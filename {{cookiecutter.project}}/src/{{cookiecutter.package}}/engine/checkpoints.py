"""Writes checkpoints that contain all that prediction needs, finds them, and starts trainings from them."""

import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from ..errors import UserError, some, without_secrets
from ..facts import ImageFacts, mode_of, to_plain
from ..files import replacing
from .bundles import FORMAT, misfits, read_checkpoint
from .environment import git, versions
from .metrics_table import EpochMetrics, MetricsTable
from .record import ROOT, find_run
from .run_directory import BEST_CHECKPOINT, LAST_CHECKPOINT
from .seen_images import TRAINED_ON, trained_on

log = logging.getLogger(__name__)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint that replaces an older one only when it is complete and on the disk.

    Lightning (2.6) writes it into the folder for temporary files and moves it. If that is on another disk, moving
    copies, and a full disk or the end of the process in the middle of it loses the older checkpoint too. It also takes
    no notice of a file that it may not replace.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(Path(path), checkpoint)


def write_checkpoint(file: Path, checkpoint: dict[str, Any]) -> None:
    """Write or replace a checkpoint."""
    content = BytesIO()  # torch's own writer hides the reason of an error, such as a full disk
    torch.save(checkpoint, content)
    with replacing(file, "wb") as stream:
        stream.write(content.getbuffer())


class RunCheckpoint(ModelCheckpoint):
    """Lightning's callback, with four differences for which it has no options.

    - It keeps its best score when the run's directory was moved or copied.
    - It writes nothing after the last batch of an epoch, because a training that resumes there (Lightning 2.6) skips
      the validation of that epoch. The checkpoint of the epoch follows.
    - Only the callback of the best checkpoint has a state, and its key is that of the first version of this project.
    - It writes as ``WholeCheckpoints`` does.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # not one of the user's config
            trainer.strategy.checkpoint_io = WholeCheckpoints()
        super().setup(trainer, pl_module, stage)

    @property
    def state_key(self) -> str:
        return super().state_key.replace(type(self).__name__, "BestAndLast")

    def state_dict(self) -> dict[str, Any]:
        return {} if self.monitor is None else super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        file = Path(str(self.dirpath), BEST_CHECKPOINT.name)
        if file.is_file():
            best = {str(file): score for score in state_dict["best_k_models"].values()}
            paths = {"best_model_path": str(file), "kth_best_model_path": str(file), "best_k_models": best}
            state_dict = {**state_dict, **paths, "dirpath": self.dirpath}
        elif not Path(state_dict["best_model_path"]).is_file():
            log.warning("%s is missing: the best epoch is chosen among those that follow", BEST_CHECKPOINT)
            return
        super().load_state_dict(state_dict)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 < trainer.num_training_batches:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


def checkpoint_callbacks(directory: Path, monitor: str, every_minutes: float | None = None) -> list[Callback]:
    """Write ``best.ckpt`` by ``monitor``, and ``last.ckpt`` after every epoch, and within one ``every_minutes``."""
    folder = directory / BEST_CHECKPOINT.parent
    best: dict[str, Any] = {"filename": BEST_CHECKPOINT.stem, "monitor": monitor, "mode": mode_of(monitor)}
    last: dict[str, Any] = {"filename": LAST_CHECKPOINT.stem}
    # At the end of an epoch, all its metrics are known, so that it resumes exactly.
    files = [best | {"save_on_train_epoch_end": True}, last | {"save_on_train_epoch_end": True}]
    if every_minutes is not None:
        files.append(last | {"train_time_interval": timedelta(minutes=every_minutes)})
    return [RunCheckpoint(folder, enable_version_counter=False, **options) for options in files]


class CheckpointBundle(Callback):
    """Adds ``bundle``, of plain JSON types, and ``trained_on``, digests of images, to every checkpoint.

    The hyperparameters have the facts of the data, the preprocessing and the model's arguments. The bundle has the name
    of the model's class, the resolved config, the hash of the splits, the current metrics and those of all earlier
    epochs, the id of the W&B run, the number of processes, versions and the git commit.

    ``resumed`` is the bundle of the checkpoint to resume from, ``earlier`` the digests of the images that the initial
    weights were trained on.
    """

    def __init__(
        self,
        config: dict[str, Any],
        table: MetricsTable,
        wandb_id: str | None,
        resumed: dict[str, Any],
        earlier: Tensor | None,
    ) -> None:
        self.config = config
        self.table = table
        self.earlier = earlier
        self.constants = {"wandb_id": wandb_id, "versions": versions(), "git_commit": git("rev-parse", "HEAD")}
        self.seconds_before = resumed.get("seconds", 0.0)
        self.start = time.perf_counter()
        self.started_epoch, self.is_epoch_over = -1, False

    @property
    def seconds(self) -> float:
        """Seconds of training, including those before it was resumed."""
        return self.seconds_before + time.perf_counter() - self.start

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self.start = time.perf_counter()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started_epoch, self.is_epoch_over = trainer.current_epoch, False

    on_train_epoch_start = on_train_start  # which Lightning calls alone if it resumes within an epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.is_epoch_over = True

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        checkpoint[TRAINED_ON] = trained_on(data, self.earlier)
        metrics = {n: value.item() for n, value in trainer.callback_metrics.items() if not n.startswith("lr/")}
        checkpoint["bundle"] = {
            "format": FORMAT,
            "model": type(pl_module).__name__,
            "config": to_plain(self.config | {"trainer": without_secrets(self.config["trainer"])}),
            "split_hash": data.split_hash,
            "metrics": metrics,
            "history": self.history(trainer, metrics),
            "seconds": self.seconds,
            "num_processes": trainer.world_size,
            **self.constants,
        }

    def history(self, trainer: Trainer, metrics: dict[str, float]) -> list[EpochMetrics]:
        """The rows of ``metrics.csv``, including what has been measured and is not yet written."""
        epoch = trainer.current_epoch
        rows = [self.table.rows[number] for number in sorted(self.table.rows) if number < epoch]
        if epoch == self.started_epoch:
            rows.append(self.table.row(epoch, metrics if self.is_epoch_over else {}, trainer.global_step))
        return rows


def restore_best_weights(trainer: Trainer, model: LightningModule) -> None:
    """Load the best checkpoint; ``last.ckpt`` keeps the last weights, which a resumed training needs."""
    best = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if best:  # not after fast_dev_run, which writes no checkpoint
        checkpoint = read_checkpoint(Path(best), "the best checkpoint")
        model.load_state_dict(checkpoint["state_dict"])
        log.info("restored the weights of the best epoch, %d", checkpoint["epoch"] + 1)
    elif not getattr(trainer, "fast_dev_run", False):
        log.warning("no epoch was validated, so none is the best one: the last weights are used")


def store_temperature(file: Path, temperature: float) -> None:
    """Add the temperature to the bundle of a checkpoint, so that it predicts calibrated probabilities."""
    if file.is_file():  # not after fast_dev_run, which writes no checkpoint
        checkpoint = read_checkpoint(file, "the best checkpoint")
        checkpoint["bundle"]["temperature"] = temperature
        write_checkpoint(file, checkpoint)


def find_checkpoint(path: Path, name: Literal["best", "last"], option: str = "--ckpt", root: Path = Path(ROOT)) -> Path:
    """The checkpoint for the value of an option; raises a UserError if there is none.

    ``path`` is a file, a run directory, a folder of runs (uses the newest), or ``last`` (the newest in ``root``).
    """
    relative = BEST_CHECKPOINT if name == "best" else LAST_CHECKPOINT
    for file in (path, path / relative):  # also if only the checkpoints of a run were copied
        if file.is_file():
            return file
    file = find_run(path, option, lambda run: (run / relative).is_file(), f"has {relative}", root) / relative
    if not file.is_file():
        raise UserError(
            f"{option} is {str(path)!r}, a run without {str(relative)!r}. Give another run or a .ckpt file."
        )
    return file


def require_same_facts(trained: ImageFacts, given: ImageFacts) -> None:
    """Refuse a data set whose classes or image format differ from those of the training."""
    for fact in ("class_names", "num_channels", "image_size", "fit"):
        expected, found = getattr(trained, fact), getattr(given, fact)
        if expected != found:
            raise UserError(
                f"the checkpoint and the data set differ in {fact}: trained with {expected}, given {found}. "
                "Give data that matches the training (--data.root, --data.image_size, --data.fit, "
                "--data.num_channels), or train a model on this data."
            )


def load_initial_weights(model: Any, checkpoint: Mapping[str, Any], name: str) -> None:
    """Copy the weights of a checkpoint into a model; if the classes differ, the model keeps its own head."""
    state: dict[str, Tensor] = dict(checkpoint["state_dict"])
    own = model.state_dict()
    last_linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)][-1]  # gives logits
    head = (f"{last_linear}.weight", f"{last_linear}.bias")
    before, classes = checkpoint["hyper_parameters"]["facts"]["class_names"], model.facts.class_names
    if before != classes:
        state = {key: tensor for key, tensor in state.items() if key not in head} | {key: own[key] for key in head}
    if wrong := misfits(own, state):
        raise UserError(
            f"init_from is {name!r}, whose {checkpoint['bundle']['model']} has other layers than this model: "
            f"they differ in {some(wrong)}. Give the same --model with the same arguments."
        )
    model.load_state_dict(state)
    new = f", with a new head, because its classes ({some(before)}) differ from these ({some(classes)})"
    log.info("Starting from the weights of %s%s.", name, "" if before == classes else new)
