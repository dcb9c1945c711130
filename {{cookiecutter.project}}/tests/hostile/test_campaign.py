"""The judge of the campaigns sees traces, hangs, wrong ends and missing words."""

import sys
import time
from pathlib import Path

import pytest

from . import campaign
from .campaign import Case, Outcome, judge, run, try_case


def end_with(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def main(words: list[str]) -> None:
        exec(action, {"sys": sys, "time": time, "words": words})

    monkeypatch.setattr(campaign, "main", main)


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        ("raise KeyError('x')", "trace: "),
        ("time.sleep(9)", "hangs: "),
        ("sys.exit(3)", "the status is 3"),
        ("sys.exit(2)", "there is no message"),
        ("print('error: Namespace(a=1)', file=sys.stderr); sys.exit(2)", "internal text 'Namespace('"),
        ("print('error: ' + 5000 * 'x', file=sys.stderr); sys.exit(2)", "5,007 letters"),
        ("print('error: other', file=sys.stderr); sys.exit(2)", "'wanted' is not in the message"),
    ],
)
def test_problems(action: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end_with(action, monkeypatch)
    expected = ["wanted"] if "wanted" in problem else []
    assert any(problem in found for found in judge(run(["x"], tmp_path, seconds=0.2), expected, [0, 1, 2]))


def test_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end_with("print('error: no', words[0], sys.stdin.read(), file=sys.stderr); sys.exit(2)", monkeypatch)
    seen: list[Outcome] = []
    case = Case("$word", ["no path", "given"], stdin=b"given", check=lambda _, outcome: seen.append(outcome))
    assert try_case(case, tmp_path, {"word": "path"}) == []
    assert seen[0].message == "error: no path given"
