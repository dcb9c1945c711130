"""What a folder that was left by interrupted commands and one of an uninterrupted command differ in."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import torch

TEMPORARY = (".tmp", ".part", ".partial", ".writing")


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder, by its path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def of_files(name: str, part: Path, whole: Path) -> list[str]:
    """Content of one file, or of all files of a folder."""
    one, other = part / name, whole / name
    if not one.exists() or not other.exists():
        return [f"{name} is missing"] if other.exists() else [f"{name} is new"] if one.exists() else []
    if one.is_file():
        return [] if one.read_bytes() == other.read_bytes() else [f"{name} differs"]
    before, after = digests(other), digests(one)
    return [f"{name}/{path} differs" for path in sorted(before.keys() | after) if before.get(path) != after.get(path)]


def of_caches(name: str, part: Path, whole: Path) -> list[str]:
    """Content of all files of a cache, whose ``digests.json`` names images by absolute paths."""
    one, other = (remembered_digests(folder / name, folder) for folder in (part, whole))
    found = [text for text in of_files(name, part, whole) if "digests.json" not in text]
    return found if one == other else [*found, f"{name}/digests.json differs"]


def remembered_digests(cache: Path, folder: Path) -> dict[str, list[int | str]]:
    """By paths from ``folder`` on, without the checksum in the first line."""
    _, _, text = (cache / "digests.json").read_text(encoding="utf-8").partition("\n")
    digests: dict[str, list[int | str]] = json.loads(text.replace(f"{folder}/", ""))
    return digests


def of_runs(name: str, part: Path, whole: Path) -> list[str]:
    """Weights, optimizer, schedules and counters of both checkpoints, metrics, predictions, and names of files."""
    one, other = part / name, whole / name
    found = []
    for checkpoint in ("last.ckpt", "best.ckpt"):
        found += of_checkpoints(one / "checkpoints" / checkpoint, other / "checkpoints" / checkpoint)
    for file in ("metrics.csv", "predictions.csv"):
        found += of_files(file, one, other)
    if (state := json.loads((one / "status.json").read_text(encoding="utf-8"))["state"]) != "finished":
        found.append(f"status.json says {state}")
    names = [{path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()} for run in (one, other)]
    return found + [f"{file} is missing or new" for file in sorted(names[0] ^ names[1])]


def of_checkpoints(one: Path, other: Path) -> list[str]:
    contents: list[dict[str, Any]] = [torch.load(file, weights_only=True) for file in (one, other)]
    # Not the epoch, which is one more in a checkpoint that is saved when the last one has ended.
    keys = ("state_dict", "lr_schedulers", "global_step")
    found = [f"{one.name}: {key} differs" for key in keys if not same(*(content.get(key) for content in contents))]
    states = [[optimizer["state"] for optimizer in content["optimizer_states"]] for content in contents]
    return found if same(*states) else [*found, f"{one.name}: the optimizer's state differs"]


def same(one: Any, other: Any) -> bool:
    try:
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    except (AssertionError, TypeError, ValueError):
        return bool(one == other) if not isinstance(one, torch.Tensor | dict | list) else one == other
    return True


def of_reports(name: str, part: Path, whole: Path) -> list[str]:
    """Content of a page but for the time when it was made."""
    pages = [(folder / name).read_text(encoding="utf-8") for folder in (part, whole)]
    one, other = (re.sub(r"report of [-\d]+ [:\d]+", "report", page) for page in pages)
    return [] if one == other else [f"{name} differs"]


def of_trials(name: str, part: Path, whole: Path) -> list[str]:
    """The study is whole, and has as many finished trials with a value."""
    counts = []
    for file in (part / name, whole / name):
        connection = sqlite3.connect(file)
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            return [f"{name} is damaged"]
        query = "SELECT COUNT(*) FROM trials JOIN trial_values USING (trial_id) WHERE state IN ('COMPLETE', 'PRUNED')"
        counts.append(connection.execute(query).fetchone()[0])
        connection.close()
    return [] if counts[0] == counts[1] else [f"{name} has {counts[0]} finished trials, not {counts[1]}"]


def left_behind(folder: Path) -> list[str]:
    """Temporary files, which an interrupted command must remove or use again."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [f"{path.relative_to(folder)} is left" for path in files if path.name.endswith(TEMPORARY)]
