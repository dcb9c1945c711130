"""Write the report of a run again, from its run directory."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.cli import LightningArgumentParser

from ...data import DATA_MODULES
from ...engine.companions import Companion, Start
from ...engine.contracts import DataModule
from ...engine.recipes import VerbParser
from ...engine.record import CONFIG, RunRecord, find_run, read_run
from ...errors import UserError, program_name, shown
from ...files import PAGES, require_output
from .diagnosis import TrainingFacts, diagnose

log = logging.getLogger(__name__)

REPORT = "report.html"


class Report(Companion):
    """Writes the report of each training, and adds the diagnosis to what ``fit`` prints."""

    off = ("--report=false",)

    def add_options(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--report", type=bool, default=True, help="write report.html after the test")

    def start(self, start: Start) -> None:
        self.is_asked = start.settings.report

    def conclude(self, record: RunRecord, data: DataModule) -> None:
        """Write the report into the run directory; an error is logged and does not fail the finished training."""
        if not self.is_asked:
            return
        try:
            write_report(record, record.directory / REPORT, data)
            log.info("report: %s", shown(record.directory / REPORT))
        except Exception as error:
            problem, again = f"{type(error).__name__}: {error}", f"{program_name()} report {shown(record.directory)}"
            log.warning("The report could not be written (%s). To try again: %s", problem, again)

    def lines(self, record: RunRecord) -> list[str]:
        return [f"diagnosis: {diagnose(record.epochs, facts_of_training(record)).line}"]


COMPANION = Report()


def facts_of_training(run: RunRecord, data: Any = None) -> TrainingFacts:
    """Read the facts from the files of a run, finished or not; ``data`` is its data module if it is in memory."""
    config, model = run.config, run.config["model"].get("init_args", {})
    val, num_classes = run.outputs("val"), len(run.class_names) or None
    if num_classes is None:  # the run is not finished
        with suppress(UserError, OSError):
            num_classes = (data or run.data).facts.num_classes
    is_balanced = config["data"].get("init_args", {}).get("imbalance") == "sampler"  # draws all classes equally often
    counts = [1] * num_classes if is_balanced and num_classes else run.summary.get("train/class_counts")
    return TrainingFacts(
        monitor=config["monitor"],
        max_epochs=config["trainer"].get("max_epochs") or -1,
        patience=config.get("early_stopping", {}).get("patience"),
        is_annealed=model.get("schedule", {}).get("name") in {"onecycle", "cosine"},
        is_mixed=model.get("mix", {}).get("name", "none") != "none",
        num_train_images=run.summary.get("num_train_images"),
        num_val_images=None if val is None else len(val),
        train_share=None if counts is None else max(counts) / sum(counts),
        val_share=None if val is None else float(np.bincount(val.labels).max() / len(val)),
        num_classes=num_classes,
        lr=model.get("optimizer", {}).get("lr"),
        is_finished=bool(run.summary),
    )


def write_report(run: RunRecord, file: Path, data: Any = None) -> None:
    """Write or replace the report of a run, finished or not; ``data`` is its data module if it is in memory."""
    from ..pages.rendering import write_page
    from .page import describe_run  # imports matplotlib, which takes 0.3 s

    write_page(file, __package__, **describe_run(run, data, facts_of_training(run, data)))


def report(options: Sequence[str]) -> None:
    """Write the page, replacing an older one, and print its path."""
    parser = VerbParser("report", __doc__)
    run_help = "run directory (finished or not), folder of runs (uses the newest), or last"
    parser.add_argument("run", type=Path, metavar="RUN", help=run_help)
    parser.add_argument("--output", type=Path, metavar="FILE", help="page to write (default: RUN/report.html)")
    arguments = parser.parse_args(options)
    directory = find_run(arguments.run, "RUN", lambda _: True, f"has {CONFIG}")
    output: Path = arguments.output or directory / REPORT
    run = read_run(directory, DATA_MODULES)
    require_output(output, suffixes=PAGES)
    write_report(run, output)
    print(output)
