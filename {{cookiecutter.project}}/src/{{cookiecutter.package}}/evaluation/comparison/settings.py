"""Which settings differ between runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from .candidate import Candidate
from .seeds import WITHOUT_EFFECT


def differing_settings(candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """Values of each setting that differs between runs: one per run, empty if the run does not have the setting."""
    configs = [dict(flatten(c.record.config)) for c in candidates if c.record is not None]
    names = dict.fromkeys(name for config in configs for name in config)
    values = {name: [config.get(name, "") for config in configs] for name in names}
    return {name: of_runs for name, of_runs in values.items() if len(set(of_runs)) > 1}


def flatten(config: dict[str, Any], parent: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their command-line names, such as ``model.optimizer.lr``."""
    for key, value in config.items():
        if not parent and key in WITHOUT_EFFECT:
            continue
        name = parent if key in {"class_path", "init_args"} else f"{parent}.{key}".strip(".")
        if isinstance(value, dict):
            yield from flatten(value, name)
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
