"""Runs one command in this process, with its own standard streams and a time limit, and judges how it ended.

The rule for every command, whatever it is given: it ends within ``SECONDS`` with status 0, 1 or 2 and without a trace.
An error is one message that says what was wrong.
"""

from __future__ import annotations

import faulthandler
import io
import logging
import os
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import torch

from {{cookiecutter.package}}.cli import main

SECONDS = 10.0  # of computing
LONG = 240.0  # of trainings, also on a busy machine
PATIENCE = 6  # times as long on the clock, as other programs may use the processors too
LONGEST_MESSAGE = 1500
# What no message may contain: traces, and texts of jsonargparse that are not for users.
INTERNAL = ("Traceback", "Given value: Namespace", "Namespace(", "jsonargparse", "ActionTypeHint", "Parser key")


class HangError(BaseException):
    """Raised in the command by the clock; no handler of exceptions stops it."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended; a status of -1 stands for a trace, and of -2 for a hang."""

    status: int
    out: str
    err: str
    trace: str = ""

    @property
    def message(self) -> str:
        """The line of the error, or what was written last."""
        lines = self.err.strip().splitlines() or [""]
        return next((line for line in lines if line.startswith("error: ")), lines[-1])


@dataclass(frozen=True)
class Case:
    """A command and how it must end.

    Attributes:
        command: the words after the program, as in a shell or as a list; ``$name`` stands for a path of ``run``.
        expected: words of the message, or of standard output if ``status`` is 0.
        status: the expected exit status, or several that are allowed.
        prepare: writes files into the working directory before the command runs.
        check: raises AssertionError if a result of the command is not true; gets the working directory.
        stdin: standard input.
        encoding: of the standard streams.
    """

    command: str | Sequence[str]
    expected: Sequence[str] = ()
    status: int | tuple[int, ...] = 2
    prepare: Callable[[Path], Any] | None = None
    check: Callable[[Path, Outcome], Any] | None = None
    stdin: bytes = b""
    encoding: str = "utf-8"
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        text = self.command if isinstance(self.command, str) else shlex.join(self.command)
        return text[:100].encode("ascii", "backslashreplace").decode()


def try_case(case: Case, folder: Path, paths: Mapping[str, Path | str]) -> list[str]:
    """Run a case in ``folder``, and list what is wrong with its end; an empty list is the aim."""
    if case.prepare is not None:
        case.prepare(folder)
    words = shlex.split(case.command) if isinstance(case.command, str) else case.command
    names = {name: str(path) for name, path in paths.items()}
    words = [Template(word).safe_substitute(names) for word in words]
    outcome = run(words, folder, stdin=case.stdin, encoding=case.encoding, environment=case.environment)
    statuses = (case.status,) if isinstance(case.status, int) else case.status
    problems = judge(outcome, case.expected, statuses)
    if not problems and case.check is not None:
        case.check(folder, outcome)
    return problems


def judge(outcome: Outcome, expected: Sequence[str] = (), statuses: Sequence[int] = (0, 1, 2)) -> list[str]:
    """What is wrong with the end of a command."""
    if outcome.trace:
        return [f"{'hangs' if outcome.status == -2 else 'trace'}: {outcome.trace}"]
    problems = []
    if outcome.status not in statuses:
        problems.append(f"the status is {outcome.status}, expected {statuses}")
    problems += [f"internal text {text!r}" for text in INTERNAL if text in outcome.err]
    shown = outcome.out + outcome.err if outcome.status == 0 else outcome.err
    problems += [f"{text!r} is not in the message" for text in expected if text not in shown]
    if outcome.status == 2 and not outcome.message and not outcome.out:
        problems.append("there is no message")
    if len(outcome.message) > LONGEST_MESSAGE:
        problems.append(f"the message has {len(outcome.message):,} letters")
    return [*problems, f"standard error: {outcome.err[-3000:]}"] if problems else []


def run(
    words: Sequence[str],
    folder: Path,
    *,
    stdin: bytes = b"",
    encoding: str = "utf-8",
    environment: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> Outcome:
    """Run a command in a working directory; afterwards the process is as it was before."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="") for _ in range(2))
    err.reconfigure(errors="backslashreplace")  # as Python's own
    status, trace = 0, ""
    with unchanged_process(folder, environment or {}), redirect_stdout(out), redirect_stderr(err), watched(seconds):
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8", errors="surrogateescape")
        try:
            main(list(words))
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            err.write(end.code if isinstance(end.code, str) else "")
        except HangError:
            status, trace = -2, traceback.format_exc(limit=-8)
        except BaseException:
            status, trace = -1, traceback.format_exc(limit=-8)
    return Outcome(status, written(out), written(err), trace)


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(stream.encoding, "backslashreplace")


@contextmanager
def watched(seconds: float) -> Iterator[None]:
    """Raise HangError in this thread after ``seconds`` of computing; end the process if native code does not return."""

    def strike(*_: Any) -> None:
        raise HangError(f"not over after {seconds:g} s")

    clocks = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, PATIENCE * seconds)}
    before = {number: signal.signal(number, strike) for number in clocks}
    faulthandler.dump_traceback_later(2 * PATIENCE * seconds + 60, exit=True, file=2)
    for timer, limit in clocks.values():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer, _ in clocks.values():
            signal.setitimer(timer, 0)
        faulthandler.cancel_dump_traceback_later()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def unchanged_process(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Change to a working directory; restore it, the environment, handlers, filters and torch's settings at the end."""
    root = logging.getLogger()
    handlers, level, variables, stdin = root.handlers[:], root.level, dict(os.environ), sys.stdin
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    directory = Path.cwd()
    root.handlers = []  # pytest's; the command adds its own, which write to standard error
    os.environ.update(environment)
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.chdir(directory)
        root.handlers, sys.stdin = handlers, stdin
        root.setLevel(level)
        os.environ.clear()
        os.environ.update(variables)
        torch.use_deterministic_algorithms(False)
        for number, handler in signals.items():
            signal.signal(number, handler)


def ends(words: Sequence[str], folder: Path, expected: Sequence[str] = (), status: int = 2) -> Outcome:
    outcome = run(words, folder, seconds=LONG)
    problems = judge(outcome, expected, [status])
    assert problems == [], problems
    return outcome


def files_in(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.suffix in {".tmp", ".old"}]
