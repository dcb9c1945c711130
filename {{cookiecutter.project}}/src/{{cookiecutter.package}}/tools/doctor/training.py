"""The part of the checks that needs torch: settings, data, model, and a few steps of training in a temporary folder."""

import logging
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Timer

from ...data import DATA_MODULES
from ...engine.backbones import build_backbone
from ...engine.command_line import Command
from ...engine.companions import Companion
from ...engine.contracts import class_named
from ...engine.environment import num_cpus
from ...engine.findings import Finding, refusal
from ...engine.image_cache import DIGESTS
from ...engine.resume import Origin, find_origin, require_same_processes
from ...errors import UserError
from ...fit import build, parse
from ..pages.rendering import duration
from .data import examine_data, examine_weights
from .doctor import Report
from .forecast import Forecast, forecast
from .learning_rates import try_learning_rates
from .settings import Resolved, Trial, examine_place, examine_settings, explain

PACKAGE = __package__.split(".")[0]


def examine_training(
    report: Report, words: Sequence[str], companions: Sequence[Companion], lr: Path | None, begin: float
) -> None:
    """Check the training that ``fit`` would start with these words; stops at the first problem that ends it.

    The imports, which ``fit`` needs too, began at ``begin``.
    """
    with tempfile.TemporaryDirectory(prefix="doctor-") as name, heard(report):
        folder = Path(name)
        command, run = attempt(report, "settings", lambda: parse(words, companions)) or (None, None)
        if command is None:
            return
        start_up = time.monotonic() - begin
        resolved = Resolved(command)
        settings = explain(resolved)
        report.details["settings"] = [asdict(setting) for setting in settings]
        changed = [setting.line for setting in settings if setting.is_changed]
        report.say(f"settings: {len(changed)} are given, {len(settings) - len(changed)} are defaults", changed)
        report.add(examine_settings(resolved))
        report.add(examine_place(command, run))
        for companion in companions:
            report.add(companion.findings(command.config))
        trial = prepare(report, resolved, run, companions, folder)
        if trial is None:
            return
        found = attempt(report, "data", lambda: examine_data(report, trial))
        if found is None or report.has_error:
            return
        attempt(report, "forecast", lambda: tell(report, trial, forecast(report, trial, found, start_up)))
        if lr and not report.has_error:
            attempt(report, "learning rate", lambda: try_learning_rates(report, trial, found, lr))


def tell(report: Report, trial: Trial, found: Forecast | None) -> None:
    if found is None:
        return
    report.details["forecast"] = asdict(found)
    report.add([Finding("ok", "forecast", found.sentence)])
    max_time = trial.command.config.trainer.max_time
    limit = None if max_time is None else Timer(max_time).time_remaining()
    if limit is not None and limit < found.training:
        what = f"trainer.max_time is {duration(limit)}, and the epochs take {duration(found.training)}"
        why = "the training ends earlier, at a high learning rate, and the best epoch may be one of the first"
        remedy = f"--trainer.max_epochs {max(1, int(0.8 * limit / found.epoch))}, or a longer --trainer.max_time"
        report.add([Finding("warning", "time", what, why, remedy)])


def examine_trainer(trainer: Trainer, precision: str) -> Iterator[Finding]:
    """Settings of the trainer that this machine's processor does not have."""
    if not isinstance(trainer.accelerator, CPUAccelerator):
        return
    if trainer.num_devices > num_cpus():
        what = f"the training starts {trainer.num_devices} processes, and may use {num_cpus()} cores"
        yield Finding("warning", "trainer", what, "processes wait for each other", "--trainer.devices 1")
    if precision == "16-mixed":
        what = f"trainer.precision is {precision}, which the CPU does not have; Lightning uses {trainer.precision}"
        why = "most CPUs are slower with it than with 32 bits"
        yield Finding("warning", "trainer", what, why, "--trainer.precision 32-true, or a GPU")


def prepare(
    report: Report, resolved: Resolved, run: Path | None, companions: Sequence[Companion], folder: Path
) -> Trial | None:
    """Build data set, model and trainer as ``fit`` does, except that nothing is downloaded and no cache is written."""
    command, arguments = resolved.command, resolved.config["data"].get("init_args", {})
    off = [option for companion in companions for option in companion.off]
    parts, _ = parse(
        [*command.args, *off, f"--run.root={folder / 'runs'}", *without_cache(arguments, folder)], companions
    )
    parts.config.run.directory = None
    origin = attempt(report, "settings", lambda: find_origin(command, run))
    if origin is None:
        return None
    parts.config.compile = False  # which takes minutes
    if origin.initial is None and origin.resumed is None:
        attempt(report, "model", lambda: without_download(report, parts))
    elif "weights" in parts.config.model.init_args:
        parts.config.model.init_args.weights = "none"
    if report.has_error or attempt(report, "model", lambda: build(parts, origin)) is None:
        return None
    parts.config.init_from = parts.config.ckpt_path = None
    trainer = attempt(report, "trainer", lambda: build_trainer(parts, origin, folder))
    if trainer is None:
        return None
    report.add(examine_trainer(trainer, resolved.known.get("trainer.precision", "")))
    data, model = parts.built.data, parts.built.model
    return Trial(command, arguments, origin, parts, data, model, deepcopy(model.state_dict()), trainer, folder)


def build_trainer(parts: Command, origin: Origin, folder: Path) -> Trainer:
    trainer = parts.build_trainer([], logger=False, default_root_dir=folder)
    if origin.resumed is not None:
        require_same_processes(origin.resumed, trainer.world_size)
    return trainer


def without_cache(arguments: Mapping[str, Any], folder: Path) -> list[str]:
    """Options with which a data set writes into a temporary folder only; the digests cached so far are copied there."""
    if "cache_dir" not in arguments:
        return []
    known = Path(arguments["cache_dir"], DIGESTS)
    if known.is_file():
        shutil.copy(known, folder)
    return [f"--data.cache_dir={folder}", *(["--data.cache=none"] if "cache" in arguments else [])]


def without_download(report: Report, parts: Command) -> None:
    """Use the installed pretrained weights if they cannot be downloaded, or random ones, which are as fast."""
    arguments = parts.config.model.init_args
    if arguments.get("weights") != "DEFAULT":
        return
    backbone = build_backbone(arguments.backbone, "none")  # refuses an unknown name
    findings, weights = examine_weights(arguments.backbone)
    report.add(findings)
    if report.has_error:
        return
    if weights == "none" and arguments.input_size is None:
        section = parts.resolved["data"]
        build: Any = class_named(section["class_path"], DATA_MODULES, "data")
        image_size = build(**section.get("init_args", {})).facts.image_size
        arguments.input_size = backbone.side_for(image_size, pretrained=True)
    arguments.weights = weights


def attempt(report: Report, subject: str, task: Callable[[], Any]) -> Any:
    """The result of a task; None, with a finding, if it fails: what fails here fails in ``fit`` too."""
    try:
        return task()
    except UserError as error:
        name = str(error).split(".")[0]
        report.add([refusal(name if name in {"data", "model", "trainer"} else subject, error)])
    except Exception as error:
        what = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
        remedy = "run fit with the same options, which prints where the error occurs"
        report.add([Finding("error", subject, what, "fit fails with this error", remedy)])
    return None


class Listener(logging.Handler):
    """Turns warnings that this project logs into findings."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self.report = report

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.endswith(".seen_images"):  # about a sample; examine_leaks counts all images
            return
        what, _, remedy = record.getMessage().partition(". ")
        self.report.add([Finding("warning", "training", what.rstrip("."), "fit warns of it", remedy)])


@contextmanager
def heard(report: Report) -> Iterator[None]:
    """While the checks run, the warnings of this project are findings, and nothing else is logged."""
    logger, lightning = logging.getLogger(PACKAGE), logging.getLogger("lightning.pytorch")
    before = logger.propagate, logger.level, lightning.level
    listener = Listener(report)
    logger.addHandler(listener)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    lightning.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(listener)
        logger.propagate = before[0]
        logger.setLevel(before[1])
        lightning.setLevel(before[2])
