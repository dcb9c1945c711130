"""The short form of `make torture`: a training and a table that are killed, and trainings one after the other."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_killed_commands_go_on_as_if_nothing_had_happened(default_bake: Path, tmp_path: Path) -> None:
    words = ["torture/campaign.py", "--kills", "2", "--only", "fit_mlp", "split"]
    result = run(*words, "--project", str(default_bake), "--folder", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 of " in result.stdout.splitlines()[-1]
    assert "| fit_mlp | " in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(ROOT / "torture")
    from differences import left_behind, of_files

    for folder, text in (("part", "1"), ("whole", "2")):
        (tmp_path / folder / "out").mkdir(parents=True)
        (tmp_path / folder / "out" / "table.csv").write_text(text)
    assert of_files("out", tmp_path / "part", tmp_path / "whole") == ["out/table.csv differs"]
    assert of_files("out", tmp_path / "part", tmp_path / "part") == []
    (tmp_path / "part" / "table.csv.tmp").touch()
    assert left_behind(tmp_path / "part") == ["table.csv.tmp is left"]


def test_nothing_grows_over_trainings_in_one_process() -> None:
    result = run("torture/soak.py", "--trainings", "8")
    assert result.returncode == 0, result.stdout + result.stderr
