"""Tools that take part in every training, such as the report and experiment tracking."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import Logger

from ..errors import UserError
from ..files import is_of_machine
from .contracts import DataModule
from .findings import Finding
from .record import RunRecord
from .run_directory import release_run_directory
from .stopping import InterruptedTrainingError


@dataclass(frozen=True)
class Start:
    """A training that is about to start."""

    settings: Any  # its options, instantiated; a companion finds those that it has added
    directory: Path
    recipe: str
    config: dict[str, Any]  # resolved
    resumed: dict[str, Any]  # the bundle of the checkpoint to resume from; empty for a new training


class Companion:
    """Takes part in every training. ``cli`` finds the companions and hands them to the verbs; ``fit`` names none."""

    off: Sequence[str] = ()  # options that switch it off, where nobody reads the results, as of the trials of a search

    def add_options(self, parser: LightningArgumentParser) -> None:
        """Add options, which ``Start.settings`` contains."""

    def default_files(self, options: Sequence[str]) -> list[Path]:
        """Config files that are read before those of the command line."""
        return []

    def start(self, start: Start) -> Logger | None:
        """Called on rank zero before the trainer is built; a logger receives the metrics of each epoch."""
        return None

    def findings(self, settings: Any) -> list[Finding]:
        """What ``doctor`` says of the options, instantiated, before a training."""
        return []

    def trial_options(self, name: str, given: Sequence[str]) -> list[str]:
        """Options for the trials of a search of that name, besides those that the user gave."""
        return []

    def conclude(self, record: RunRecord, data: DataModule) -> None:
        """Called on rank zero when the results are written, and after a divergence, without results."""

    def lines(self, record: RunRecord) -> list[str]:
        """Lines to print after the results."""
        return []

    def close(self, *, failed: bool) -> None:
        """Called on every process when the training has ended, however it ended."""


@contextmanager
def closing(companions: Sequence[Companion]) -> Iterator[None]:
    """Close the companions and release the run directory at the end, so that another training can follow."""
    failed, is_refused = True, False
    try:
        yield
        failed = False
    except UserError as error:
        is_refused = not (isinstance(error, InterruptedTrainingError) or is_of_machine(error))
        raise
    finally:
        for companion in companions:
            companion.close(failed=failed)
        release_run_directory(is_refused=is_refused)
