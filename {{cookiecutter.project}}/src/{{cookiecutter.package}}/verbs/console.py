"""Which log lines and warnings a user sees."""

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
    r".*does not have many workers.*",  # a batch is one gather from memory: workers would slow it down
    r".*smaller than the logging interval.*",  # metrics are logged once an epoch
    r".*Experiment logs directory.*exists and is not empty.*",  # the run directory, new, with its config
    r".*LeafSpec.*is deprecated.*",  # between Lightning and torch
    r".*The dirpath has changed from.*",  # a resumed training writes into a directory of its own
    r".*custom batch sampler.*",  # which serves each image once, over all processes
    r".*Checkpoint directory .* exists and is not empty.*",  # that of the run that goes on
    r".*`srun` command is available.*",  # and need not be used for one process
    r".*recommended to use `self.log\(.*sync_dist=True.*",  # metrics of torchmetrics are synchronised already
)

# Says which process died, when it ends the others for it.
OBSERVER = "lightning.fabric.strategies.launchers.subprocess_script"


class StandardError(logging.StreamHandler[Any]):
    """Writes to what ``sys.stderr`` is at that moment: while a progress bar is shown, to the lines above it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        super().emit(record)


def configure_console() -> None:
    """Log this package's lines as they are, on rank zero, and Lightning's only from warnings upward."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[StandardError()])
    own_level = logging.INFO if getattr(rank_zero_only, "rank", 0) == 0 else logging.ERROR
    logging.getLogger(__package__.split(".")[0]).setLevel(own_level)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(OBSERVER).setLevel(logging.INFO)
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message)


def shown(directory: Path) -> str:
    """A path as one would type it: relative where it is below the working directory."""
    relative = os.path.relpath(directory)
    return str(directory.absolute()) if relative.startswith(os.pardir) else relative
