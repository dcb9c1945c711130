"""Mirrors a training to Weights & Biases: its metrics, settings, results, images, report and checkpoints.

W&B is never the only copy, and no error or hang in W&B ends a training: after the first call that fails, W&B is not
called again, and one warning says so.
"""

import json
import logging
import netrc
import os
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import Logger

from ..engine.backbones import server_problem
from ..engine.companions import Companion, Start
from ..engine.contracts import DataModule
from ..engine.findings import Finding
from ..engine.folder import MANIFEST
from ..engine.metrics_table import EpochMetrics, best_epoch, read_metrics
from ..engine.recipes import values_of
from ..engine.record import RunRecord
from ..engine.results import SplitOutputs
from ..engine.run_directory import BEST_CHECKPOINT, CONFIG, ENVIRONMENT, LAST_CHECKPOINT, METRICS, PREDICTIONS, SUMMARY
from ..engine.splits import SPLITS
from ..errors import runner, without_secrets
from ..files import write_text
from ..predictor import TOP_K, likeliest, rank_columns

SETTINGS_FILE = Path("configs", "tracking", "wandb.yaml")  # the project's W&B settings, read before any --config
OFFLINE = "offline-run-*"  # folders of offline runs
HEADER_BYTES = 7  # size of an empty .wandb file
PATIENCE = 30.0  # seconds to wait for one call, which usually takes a millisecond
WRITE_SECONDS = 5.0  # for the service to write what it received
UPLOAD_SECONDS = 600.0  # for the upload at the end of an online run; `wandb sync` uploads the rest
MIRROR_SECONDS = 300.0  # for hashing checkpoints and, online, waiting for the split's artifact
MAX_MISTAKES = 32
MAX_CLASSES = 100  # in the confusion matrix: W&B draws tables of up to 10,000 rows
RECORD = (CONFIG, ENVIRONMENT, METRICS, SUMMARY, PREDICTIONS, "report.html")

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
        watch_gradients: has no effect; configs of earlier versions contain it.
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
    logger: "WandbLogger | None" = None

    def add_options(self, parser: LightningArgumentParser) -> None:
        parser.add_class_arguments(TrackingSettings, "tracking")

    def default_files(self, options: Sequence[str]) -> list[Path]:
        """The W&B settings of the project that contains the working directory, a config or this package.

        So switching W&B off in a project applies to trainings that are started in any of its subfolders.
        """
        configs = [Path(value).absolute().parent for value in values_of(options, "--config", "-c")]
        starts = [Path.cwd(), *configs, Path(__file__).resolve().parent]
        folders = [folder for start in starts for folder in [start, *start.parents]]
        return [folder / SETTINGS_FILE for folder in folders if (folder / SETTINGS_FILE).is_file()][:1]

    def findings(self, settings: Any) -> list[Finding]:
        """The mode of W&B in the next training, and whether its server can be reached."""
        mode, login = wandb_mode(settings.tracking), f"{runner()}wandb login"
        if mode == "off":
            return [Finding("ok", "W&B", "off")]
        if find_spec("wandb") is None:
            remedy = "pip install wandb, or --tracking.wandb off"
            return [Finding("warning", "W&B", f"{mode}, but wandb is not installed", "W&B records nothing", remedy)]
        if mode == "offline":
            what = "offline: not logged in, or asked for; runs can be uploaded later"
            return [Finding("ok", "W&B", what, remedy=f"to upload runs as they train: {login}")]
        if not is_logged_in():
            why, remedy = "W&B asks for a login, fails, and records nothing", f"{login}, or --tracking.wandb offline"
            return [Finding("warning", "W&B", "online, but not logged in", why, remedy)]
        if problem := server_problem(f"https://{wandb_host()}"):
            why, remedy = "the start waits, then records nothing", "--tracking.wandb offline, and upload the run later"
            return [Finding("warning", "W&B", f"online, but {problem}", why, remedy)]
        return [Finding("ok", "W&B", f"online, logged in to {wandb_host()}")]

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
                tags=[*(settings.tags or []), *(start.config[name]["class_path"] for name in ("model", "data"))],
                group=settings.group,
                config=without_secrets(start.config),
                # W&B's record of the machine holds the command line.
                settings=wandb.Settings(silent=True, x_disable_machine_info=without_secrets(sys.argv) != sys.argv),
            )
            self.logger = WandbLogger(run, start.config["monitor"], start.directory, is_continued=run_id is not None)
        except Exception as error:  # an error of any type in W&B must not end the training
            log.warning("W&B does not work (%s: %s); metrics go to metrics.csv only.", type(error).__name__, error)
            return None
        return self.logger

    def conclude(self, record: RunRecord, data: DataModule) -> None:
        if self.logger and record.summary:
            self.logger.attempt(partial(mirror_run, record, self.logger.experiment, data), MIRROR_SECONDS)

    def lines(self, record: RunRecord) -> list[str]:
        if not (self.logger and self.logger.is_alive and any((record.directory / "wandb").glob(OFFLINE))):
            return []
        return [f"W&B was offline. To upload this run: {sync_command(record.directory)}"]

    def close(self, *, failed: bool) -> None:
        """Close the W&B run, if one is open; the next training of this process starts a new one."""
        logger, self.logger = self.logger, None
        if logger is None:
            return
        run = logger.experiment
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
    return "online" if is_logged_in() else "offline"


def wandb_host() -> str:
    return os.environ.get("WANDB_BASE_URL", "api.wandb.ai").removeprefix("https://").removeprefix("http://").strip("/")


def is_logged_in() -> bool:
    """Whether there is a key in the environment or in the file that ``wandb login`` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(wandb_host()) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def is_written(file: Path) -> bool:
    """Whether W&B's service has written more than a header. It writes after ``finish`` and does not report errors."""
    end = time.monotonic() + WRITE_SECONDS
    while not (found := file.is_file() and file.stat().st_size > HEADER_BYTES) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def sync_command(directory: Path, runs: str = OFFLINE) -> str:
    """The command that uploads the W&B runs of a run directory; a resumed run has several."""
    return f"{runner()}wandb sync {shlex.quote(os.path.relpath(directory / 'wandb'))}/{runs}"


class WandbLogger(Logger):
    """Logs the rows of ``metrics.csv``, one an epoch, with the number of the epoch as W&B's step.

    The table is written before this logger is called. The metrics of the best epoch by ``monitor`` are the summary.
    Lightning's logger of this name logs three points an epoch, and an error or a hang in W&B ends or blocks the
    training.
    """

    name, version = "", ""

    def __init__(self, run: Any, monitor: str, directory: Path, *, is_continued: bool) -> None:
        super().__init__()
        self.name, self.version = str(run.project), str(run.id)
        self.experiment = run  # for your own callbacks; call it within ``attempt``
        self.monitor, self.directory = monitor, directory
        self.is_alive = True
        self.marker = directory / "wandb" / f"{run.id}.epoch"  # number of the last epoch sent to W&B
        last = max((int(row["epoch"]) for row in self.rows), default=-1)
        known = last if is_continued else -1
        if self.marker.is_file():
            text = self.marker.read_text(encoding="utf-8", errors="replace")
            known = int(text) if text.strip().isdecimal() else known  # W&B ignores rows that it has
        self.sent = min(known, last)  # a training that was killed repeats its last epochs
        self.attempt(self._define_axes)
        self.log_metrics({})

    @property
    def rows(self) -> list[EpochMetrics]:
        """The complete epochs of ``metrics.csv``: Lightning logs the training metrics of an epoch last."""
        rows = read_metrics(file) if (file := self.directory / METRICS).is_file() else []
        return [row for row in rows if any(name.startswith("train/") for name in row)]

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Sends nothing: W&B received the config at the start."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send the rows of the table that W&B does not have, and the metrics of the best epoch as the summary."""
        rows = self.rows
        new = [row for row in rows if row["epoch"] > self.sent]

        def send() -> None:
            for row in new:
                epoch, step = int(row["epoch"]), int(row["step"])
                values = {name: value for name, value in row.items() if name != "step"}
                self.experiment.log(values | {"epoch": epoch, "trainer/global_step": step}, step=epoch, commit=True)
            if best := best_epoch(rows, self.monitor):
                of_best = {name: value for name, value in best.items() if name.startswith(("train/", "val/"))}
                self.experiment.summary.update(of_best | {"best_epoch": int(best["epoch"])})
            write_text(self.marker, f"{int(new[-1]['epoch'])}\n")

        if new and self.attempt(send):
            self.sent = int(new[-1]["epoch"])

    def _define_axes(self) -> None:
        self.experiment.define_metric("epoch")
        for name in ("train/*", "val/*", "lr/*", "trainer/global_step"):
            self.experiment.define_metric(name, step_metric="epoch")

    def attempt(self, task: Callable[[], Any], seconds: float | None = None) -> bool:
        """Call W&B and wait, ``PATIENCE`` seconds if none are given; False if it fails or has failed before."""
        if not self.is_alive:
            return False
        error = failure(task, PATIENCE if seconds is None else seconds)
        if error is not None:
            self.is_alive = False
            log.warning(
                "W&B failed (%s: %s) and receives no more data; the files in %s are complete without it. To upload the "
                "data so far: %s",
                *(type(error).__name__, error, self.directory, sync_command(self.directory, "*run-*")),
            )
            # At exit, the process would otherwise wait for W&B's service or raise an error.
            failure(lambda: import_module("wandb").teardown(exit_code=1), seconds=2)
        return error is None


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


def mirror_run(record: RunRecord, run: Any, data: DataModule) -> None:
    """Log the results of a finished run: summary, tables, images, the report, and artifacts with their lineage."""
    run.summary.update({name: value for name, value in record.summary.items() if not isinstance(value, list | dict)})
    if notes := record.summary.get("notes"):
        run.summary["notes"] = " ".join(notes)
    run.log(media(record, data))
    # Offline, W&B refuses to say that a run uses an artifact; then the run is what the artifact comes from.
    (run.log_artifact if run.offline else run.use_artifact)(split_artifact(data))
    has_secrets = without_secrets(record.config) != record.config
    files = [record.directory / name for name in RECORD if not (has_secrets and name == CONFIG)]
    run.log_artifact(artifact_of(record, "record", run.id, files))
    if record.config["tracking"].get("log_model", True):
        checkpoints = [record.directory / name for name in (BEST_CHECKPOINT, LAST_CHECKPOINT)]
        run.log_artifact(artifact_of(record, "model", run.id, checkpoints), aliases=["best", "latest"])


def media(record: RunRecord, data: DataModule) -> dict[str, Any]:
    """Tables, images and the report, by name."""
    import wandb

    results = record.summary["test/classes"]
    rows = [list(result.values()) for result in results]
    shown: dict[str, Any] = {"test/classes": wandb.Table(columns=list(results[0]), data=rows)}
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
    for position, image in zip(positions, images.permute(0, 2, 3, 1).contiguous().numpy(), strict=True):
        ranked = [value for pair in likeliest(outputs.probabilities[position], class_names).items() for value in pair]
        table.add_data(wandb.Image(image), outputs.names[position], class_names[outputs.labels[position]], *ranked)
    return table


def split_artifact(data: DataModule) -> Any:
    """The split manifest or, without one, the hash of the splits, as an artifact; equal splits are one version."""
    facts = {"split_hash": data.split_hash, **{f"num_{split}_images": len(data.split(split)) for split in SPLITS}}
    artifact = new_artifact("dataset", facts, type(data).__name__, "split")
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
    facts = ("recipe", "model", "split_hash", "monitor", "best", "test/acc", "test/f1", "test/loss")
    metadata = {name: record.summary.get(name) for name in facts}
    artifact = new_artifact(kind, metadata, record.summary["recipe"], kind, run_id)
    for file in files:
        if file.is_file():
            artifact.add_file(str(file.absolute()), name=file.name, policy="immutable", skip_cache=True)
    return artifact


def new_artifact(kind: str, metadata: dict[str, Any], *name: str) -> Any:
    """An artifact without files; characters that W&B does not allow in a name are replaced."""
    import wandb

    allowed = re.sub(r"[^\w.-]", "_", "-".join(name), flags=re.ASCII)[-128:]
    return wandb.Artifact(allowed, type=kind, metadata=metadata)
