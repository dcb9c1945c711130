"""Configures which log lines and warnings are shown."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_only

# Warnings that do not apply to this project.
IRRELEVANT = (
    r".*does not have many workers.*",  # images are in memory: workers would be slower
    r".*smaller than the logging interval.*",  # metrics are logged once an epoch
    r".*Experiment logs directory.*exists and is not empty.*",  # the run directory, new, with its config
    r".*LeafSpec.*is deprecated.*",  # an issue between Lightning and torch
    r".*The dirpath has changed from.*",  # intended: a resumed training writes into its own directory
    r".*custom batch sampler.*",  # intended: it serves each image once over all processes
    r".*Checkpoint directory .* exists and is not empty.*",  # that of the resumed run
    r".*`srun` command is available.*",  # not needed for one process
    r".*recommended to use `self.log\(.*sync_dist=True.*",  # metrics of torchmetrics are synchronised already
)

# Reports which process died when it terminates the others.
OBSERVER = "lightning.fabric.strategies.launchers.subprocess_script"


class StandardError(logging.StreamHandler[Any]):
    """Writes to the current ``sys.stderr``, which a progress bar replaces to print above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        super().emit(record)


def configure_console() -> None:
    """Log this package's messages without a prefix, on rank zero, and Lightning's from level WARNING."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[StandardError()])
    own_level = logging.INFO if getattr(rank_zero_only, "rank", 0) == 0 else logging.ERROR
    logging.getLogger(__package__.split(".")[0]).setLevel(own_level)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(OBSERVER).setLevel(logging.INFO)
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message)


def shown(directory: Path) -> str:
    """A path to show: relative if it is inside the working directory."""
    relative = os.path.relpath(directory)
    return str(directory.absolute()) if relative.startswith(os.pardir) else relative
