"""``summary.json``: the final metrics of a run, by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .results import SplitResults

FILE_NAME = "summary.json"


def write_summary(directory: Path, results: SplitResults, facts: dict[str, Any]) -> None:
    """Write the results and facts of the run into its directory."""
    (directory / FILE_NAME).write_text(strict_json(facts | results.as_metrics()) + "\n", encoding="utf-8")


def strict_json(value: Any) -> str:
    """Valid JSON: infinite numbers and NaN, which JSON does not have, become null."""
    return json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    """Replace infinite numbers and NaN by None."""
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
