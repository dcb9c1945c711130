"""``summary.json``: the final metrics of a run, by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .results import SplitResults

FILE_NAME = "summary.json"


def write_summary(directory: Path, results: SplitResults, facts: dict[str, Any]) -> None:
    """Write the results, and what else is known of the run, into its directory."""
    text = json.dumps(facts | results.as_metrics(), indent=2, ensure_ascii=False)
    (directory / FILE_NAME).write_text(text + "\n", encoding="utf-8")
