"""Mirrors a training to Weights & Biases: its metrics, settings, results, images, report and checkpoints.

W&B is never the only copy, and no error or hang in W&B ends a training: after the first call that fails, W&B is not
called again, and one warning says so.
"""

from __future__ import annotations

import json
import logging
import netrc
import os
import re
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.optim import Optimizer

from ..engine.companions import Companion, Start
from ..engine.contracts import DataModule
from ..engine.folder import MANIFEST
from ..engine.recipes import values_of
from ..engine.record import Row, RunRecord, best_epoch
from ..engine.results import SplitOutputs
from ..engine.splits import SPLITS
from ..errors import runner
from ..predictor import TOP_K, likeliest, rank_columns

# The project's W&B settings, read before any --config.
SETTINGS_FILE = Path("configs", "tracking", "wandb.yaml")
WANDB_HOST = "api.wandb.ai"
HEADER_BYTES = 7  # size of an empty .wandb file
PATIENCE = 30.0  # seconds to wait for one call, which usually takes a millisecond
WRITE_SECONDS = 5.0  # for the service to write what it received
UPLOAD_SECONDS = 600.0  # for the upload at the end of an online run; `wandb sync` uploads the rest
MIRROR_SECONDS = 300.0  # for hashing checkpoints and, online, waiting for the split's artifact
MAX_MISTAKES = 32
MAX_CLASSES = 100  # in the confusion matrix: W&B draws tables of up to 10,000 rows
NUM_BINS = 64  # of a histogram of gradients
RECORD = ("config.yaml", "environment.json", "metrics.csv", "summary.json", "predictions.csv", "report.html")
CHECKPOINTS = ("best.ckpt", "last.ckpt")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackingSettings:
    """Where a run is recorded besides its directory.

    Attributes:
        wandb: where W&B writes; ``auto`` is online when the user is logged in and offline when not; ``off`` switches
            W&B off.
        project: W&B project; None is the name of this package.
        entity: W&B user or team; None is the personal default.
        tags: tags of the W&B run, beside the names of the model's and the data set's class.
        group: group of the W&B run, for example of the seeds of one recipe.
        log_model: upload the best and the last checkpoint, as a W&B artifact.
        watch_gradients: log histograms of the gradients once an epoch.
    """

    wandb: Literal["auto", "online", "offline", "off"] = "auto"
    project: str | None = None
    entity: str | None = None
    tags: list[str] | None = None
    group: str | None = None
    log_model: bool = True
    watch_gradients: bool = False


class Tracking(Companion):
    """The W&B run of the current training of this process, if there is one."""

    off = ("--tracking.wandb=off",)

    def __init__(self) -> None:
        self.logger: WandbLogger | None = None

    def add_options(self, parser: LightningArgumentParser) -> None:
        parser.add_class_arguments(TrackingSettings, "tracking")

    def default_files(self, options: Sequence[str]) -> list[Path]:
        """The project's W&B settings: of the project of the working directory, a config or this package.

        They are searched in the parent folders too, so that switching W&B off in a project applies to trainings started
        in any of its subfolders.
        """
        configs = [Path(value).absolute().parent for value in values_of(options, "--config", "-c")]
        starts = [Path.cwd(), *configs, Path(__file__).resolve().parent]
        folders = [folder for start in starts for folder in [start, *start.parents]]
        return [folder / SETTINGS_FILE for folder in folders if (folder / SETTINGS_FILE).is_file()][:1]

    def trial_options(self, name: str, given: Sequence[str]) -> list[str]:
        """W&B is off in a search, or has its trials in one group if the user configures it."""
        is_configured = any(option.startswith("--tracking.") for option in given)
        return [f"--tracking.group=tune-{name}"] if is_configured else [*self.off]

    def start(self, start: Start) -> Logger | None:
        """Start a W&B run, or continue that of the resumed training; None if it is off or, after a warning, fails."""
        settings: TrackingSettings = start.settings.tracking
        mode = wandb_mode(settings)
        if mode == "off":
            return None
        run_id = start.resumed.get("wandb_id")
        classes = [start.config[section]["class_path"] for section in ("model", "data")]
        try:
            import wandb

            run = wandb.init(
                id=run_id,
                resume=None if run_id is None else "allow",
                name=f"{start.recipe}/{start.directory.name}",
                dir=start.directory.absolute(),  # W&B's service may have been started in another folder
                mode=mode,  # type: ignore[arg-type]
                project=settings.project or __package__.split(".")[0],
                entity=settings.entity,
                tags=[*(settings.tags or []), *classes],
                group=settings.group,
                config=start.config,
                settings=wandb.Settings(silent=True),
            )
            history = start.resumed.get("history", [])
            self.logger = WandbLogger(run, start.config["monitor"], start.directory, history, run_id is not None)
        except Exception as error:  # an error of any type in W&B must not end the training
            log.warning("W&B does not work (%s: %s); metrics go to metrics.csv only.", type(error).__name__, error)
            return None
        self.logger.watches_gradients = settings.watch_gradients
        return self.logger

    def callbacks(self) -> list[Callback]:
        return [WatchGradients(self.logger)] if self.logger and self.logger.watches_gradients else []

    def conclude(self, record: RunRecord, data: DataModule) -> None:
        if self.logger and record.summary:
            self.logger.attempt(partial(mirror_run, record, self.logger.run, data), MIRROR_SECONDS)

    def lines(self, record: RunRecord) -> list[str]:
        upload = sync_command(record.directory) if self.logger and self.logger.is_alive else None
        return [f"W&B was offline. To upload this run: {upload}"] if upload else []

    def close(self, *, failed: bool) -> None:
        """Close the W&B run, if one is open; the next training of this process starts a new one."""
        logger, self.logger = self.logger, None
        if logger is None:
            return
        run = logger.run
        is_closed = logger.attempt(partial(run.finish, int(failed)), PATIENCE if run.offline else UPLOAD_SECONDS)
        file = Path(run.settings.sync_file)
        if is_closed and run.offline and not is_written(file):
            log.warning("W&B wrote nothing to %s: is the disk full? The files of the run itself are complete.", file)


COMPANION = Tracking()


def wandb_mode(settings: TrackingSettings) -> str:
    """``online``, ``offline`` or ``off``; the environment variable WANDB_MODE replaces ``auto``. Asks nobody."""
    if settings.wandb != "auto":
        return settings.wandb
    asked = os.environ.get("WANDB_MODE", "")
    if asked in {"online", "offline", "disabled"}:
        return "off" if asked == "disabled" else asked
    if os.environ.get("WANDB_API_KEY"):
        return "online"
    host = os.environ.get("WANDB_BASE_URL", WANDB_HOST).removeprefix("https://").removeprefix("http://").strip("/")
    try:  # the file that ``wandb login`` writes
        return "online" if netrc.netrc(os.environ.get("NETRC")).authenticators(host) else "offline"
    except (OSError, netrc.NetrcParseError):
        return "offline"


def is_written(file: Path) -> bool:
    """Whether W&B's service has written more than a header. It writes after ``finish`` and does not report errors."""
    end = time.monotonic() + WRITE_SECONDS
    while (not file.is_file() or file.stat().st_size <= HEADER_BYTES) and time.monotonic() < end:
        time.sleep(0.05)
    return file.is_file() and file.stat().st_size > HEADER_BYTES


def sync_command(directory: Path) -> str | None:
    """The command that uploads the offline W&B runs of a run directory; a resumed run has several."""
    if not any((directory / "wandb").glob("offline-run-*")):
        return None
    return f"{runner()}wandb sync {shlex.quote(os.path.relpath(directory / 'wandb'))}/offline-run-*"


class WandbLogger(Logger):
    """Logs the rows of ``metrics.csv``, one an epoch, with the number of the epoch as W&B's step.

    Lightning's logger of this name logs three points an epoch, and an error or a hang in W&B ends or blocks the
    training.

    Args:
        run: a started W&B run.
        monitor: decides which epoch is best; its metrics are the summary.
        directory: of the run.
        history: rows of earlier epochs, if the training is resumed.
        is_continued: whether W&B already has the run.
    """

    watches_gradients = False

    def __init__(self, run: Any, monitor: str, directory: Path, history: list[Row], is_continued: bool) -> None:
        super().__init__()
        self.run = run
        self.monitor = monitor
        self.directory = directory
        self.is_alive = True
        self.row: Row = {}
        self.rows: list[Row] = []
        self.histograms: dict[str, Any] = {}
        self.marker = directory / "wandb" / f"{run.id}.epoch"  # number of the last epoch sent to W&B
        last = max((row["epoch"] for row in history if is_continued), default=-1)
        known = int(self.marker.read_text(encoding="utf-8")) if self.marker.is_file() else last
        self.attempt(self._define_axes)
        for row in history:
            if is_whole(row):
                self._log_epoch(row, is_new=row["epoch"] > known)
            else:  # the epoch within which the training stopped
                self.row = dict(row)

    @property
    def name(self) -> str:
        return str(self.run.project)

    @property
    def version(self) -> str:
        return str(self.run.id)

    @property
    def experiment(self) -> Any:
        """The W&B run, for your own callbacks; call it within ``attempt``."""
        return self.run

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Sends nothing: W&B received the config at the start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.row |= {name: float(value) for name, value in metrics.items() if not name.startswith("test/")}
        if is_whole(metrics):
            self._log_epoch(self.row | {"step": (step or 0) + 1}, is_new=True)
            self.row = {}

    def attempt(self, task: Callable[[], Any], seconds: float | None = None) -> bool:
        """Call W&B and wait for the result, ``PATIENCE`` seconds if none are given; after a first failure, do nothing.

        Returns:
            whether the call succeeded.
        """
        if not self.is_alive:
            return False
        error = failure(task, PATIENCE if seconds is None else seconds)
        if error is not None:
            self.is_alive = False
            log.warning(
                "W&B failed (%s: %s) and receives no more data; the files in %s are complete without it. To upload the "
                "data so far: %swandb sync %s/wandb/*run-*",
                type(error).__name__,
                error,
                self.directory,
                runner(),
                shlex.quote(str(self.directory)),
            )
            abandon_service()
        return error is None

    def _define_axes(self) -> None:
        self.run.define_metric("epoch")
        for name in ("train/*", "val/*", "lr/*", "gradients/*", "trainer/global_step"):
            self.run.define_metric(name, step_metric="epoch")

    def _log_epoch(self, row: Row, is_new: bool) -> None:
        values = {name: value for name, value in row.items() if name != "step"}
        values |= {"epoch": int(row["epoch"]), "trainer/global_step": int(row["step"])}
        self.rows.append(values)
        if is_new and self.attempt(lambda: self._send(values | self.histograms)):
            self.marker.write_text(f"{values['epoch']}\n", encoding="utf-8")
        self.histograms = {}

    def _send(self, values: dict[str, Any]) -> None:
        self.run.log(values, step=values["epoch"], commit=True)
        if best := best_epoch(self.rows, self.monitor):
            of_best = {name: value for name, value in best.items() if name.startswith(("train/", "val/"))}
            self.run.summary.update(of_best | {"best_epoch": best["epoch"]})


def is_whole(metrics: Mapping[str, float]) -> bool:
    """Whether the epoch is complete: Lightning logs its training metrics last."""
    return any(name.startswith("train/") for name in metrics)


def failure(task: Callable[[], Any], seconds: float) -> BaseException | None:
    """The error that a task raises; a TimeoutError if it takes longer, in which case its thread is left running."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            task()
        except (Exception, SystemExit) as error:  # W&B raises errors of many types, and none may end the training
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return TimeoutError(f"no answer within {seconds:g} s")
    return raised[0] if raised else None


def abandon_service() -> None:
    """Disconnect from W&B's service: at exit, the process would otherwise wait for it or raise an error."""
    import wandb

    failure(lambda: wandb.teardown(exit_code=1), seconds=2)


class WatchGradients(Callback):
    """Measures gradients every ``trainer.log_every_n_steps`` steps; the last ones of an epoch are logged with it.

    W&B's own ``run.watch`` calls W&B within the backward pass, where an error in W&B ends the training.
    """

    def __init__(self, logger: WandbLogger) -> None:
        self.logger = logger

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not self.logger.is_alive or trainer.global_step % every:
            return
        import wandb

        for name, parameter in pl_module.named_parameters():
            if parameter.grad is not None and bool(parameter.grad.isfinite().all()):
                counts, edges = torch.histogram(parameter.grad.detach().float().cpu().flatten(), NUM_BINS)
                histogram = wandb.Histogram(np_histogram=(counts.long().numpy(), edges.numpy()))
                self.logger.histograms[f"gradients/{name}"] = histogram


def mirror_run(record: RunRecord, run: Any, data: DataModule) -> None:
    """Log the results of a finished run to W&B: summary, tables, images, the report, and artifacts with their lineage.

    Args:
        record: record of the run.
        run: an open W&B run.
        data: data set of the run, in memory.
    """
    run.summary.update({name: value for name, value in record.summary.items() if not isinstance(value, list | dict)})
    if notes := record.summary.get("notes"):
        run.summary["notes"] = " ".join(notes)
    run.log(media(record, data))
    split = split_artifact(data)
    # Offline, W&B refuses to say that a run uses an artifact; then the run is what the artifact comes from.
    (run.log_artifact if run.offline else run.use_artifact)(split)
    run.log_artifact(artifact_of(record, "record", run.id, [record.directory / name for name in RECORD]))
    if record.config["tracking"].get("log_model", True):
        checkpoints = [record.directory / "checkpoints" / name for name in CHECKPOINTS]
        run.log_artifact(artifact_of(record, "model", run.id, checkpoints), aliases=["best", "latest"])


def media(record: RunRecord, data: DataModule) -> dict[str, Any]:
    """Tables, images and the report, by name."""
    import wandb

    columns = ["name", "num_images", "precision", "recall", "f1"]
    rows = [[result[column] for column in columns] for result in record.summary["test/classes"]]
    shown: dict[str, Any] = {"test/classes": wandb.Table(columns=[*columns], data=rows)}
    outputs, names = record.outputs("test"), record.class_names
    if outputs is not None and np.isfinite(outputs.logits).all():
        shown["test/mistakes"] = mistake_table(outputs, names, data)
        if len(names) <= MAX_CLASSES:
            shown["test/confusion"] = wandb.plot.confusion_matrix(
                y_true=outputs.labels.tolist(), preds=outputs.predicted.tolist(), class_names=names, title="test split"
            )
    if (page := record.directory / "report.html").is_file():
        shown["report"] = wandb.Html(page.read_text(encoding="utf-8"), inject=False)
    return shown


def mistake_table(outputs: SplitOutputs, class_names: list[str], data: DataModule) -> Any:
    """The most confident mistakes of a test, at most ``MAX_MISTAKES``, with their images."""
    import wandb

    next_ranks = rank_columns(2, min(TOP_K, len(class_names)))
    table = wandb.Table(columns=["image", "path", "true_class", "predicted_class", "probability", *next_ranks])
    surest_first = np.argsort(-outputs.probabilities.max(axis=1), kind="stable")
    positions = surest_first[~outputs.is_correct[surest_first]][:MAX_MISTAKES]
    images = data.split("test").images[torch.from_numpy(positions)]  # uint8 (N, C, H, W)
    for position, image in zip(positions, images, strict=True):
        ranked = [value for pair in likeliest(outputs.probabilities[position], class_names).items() for value in pair]
        picture = wandb.Image(image.permute(1, 2, 0).contiguous().numpy())
        table.add_data(picture, outputs.names[position], class_names[outputs.labels[position]], *ranked)
    return table


def split_artifact(data: DataModule) -> Any:
    """The split manifest or, without one, the hash of the splits, as an artifact; equal splits are one version."""
    import wandb

    facts = {"split_hash": data.split_hash, **{f"num_{split}_images": len(data.split(split)) for split in SPLITS}}
    artifact = wandb.Artifact(artifact_name(type(data).__name__, "split"), type="dataset", metadata=facts)
    root, given = getattr(data, "root", None), getattr(data, "splits", None)
    manifest = Path(given) if given else None if root is None else Path(root) / MANIFEST
    if manifest is not None and manifest.is_file():
        artifact.add_file(str(manifest), name=MANIFEST)
    else:
        with artifact.new_file("split.json", encoding="utf-8") as stream:
            json.dump(facts, stream, indent=2)
    return artifact


def artifact_of(record: RunRecord, kind: str, run_id: str, files: list[Path]) -> Any:
    """Files of a run as an artifact; they are uploaded without a local copy."""
    import wandb

    facts = ("recipe", "model", "split_hash", "monitor", "best", "test/acc", "test/f1", "test/loss")
    metadata = {name: record.summary.get(name) for name in facts}
    artifact = wandb.Artifact(artifact_name(record.summary["recipe"], kind, run_id), type=kind, metadata=metadata)
    for file in files:
        if file.is_file():
            artifact.add_file(str(file.absolute()), name=file.name, policy="immutable", skip_cache=True)
    return artifact


def artifact_name(*parts: str) -> str:
    """A name with characters that W&B allows."""
    return re.sub(r"[^\w.-]", "_", "-".join(parts), flags=re.ASCII)[-128:]
