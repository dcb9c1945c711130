"""One command, its interruptions at random moments, and its end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from differences import left_behind
from inputs import command
from subjects import Subject

LIMIT = 900  # seconds that a command may take before it counts as one that hangs
PATIENCE = 60  # seconds in which a process must end after a signal
# With what a command is refused that was killed after its end.
FINISHED = ("which is finished", "exists already", "an earlier export")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Kill:
    """A signal, whether the whole group got it, as at a power cut or Ctrl+C, and what the process left.

    Attributes:
        after: seconds from the start of the process.
        status: the exit status.
        reached: the last file that was written, of those in the folder.
    """

    signal: str
    group: bool
    after: float
    status: int
    reached: str


@dataclass
class Outcome:
    """What a command that was killed once or more came to."""

    subject: str
    kills: list[Kill] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Whole:
    """The uninterrupted command.

    Attributes:
        inputs: folder of what all commands begin with.
        folder: of its own.
        imports: about the seconds until its work begins: until the oldest file that it left, or half of its time.
        seconds: until its end.
    """

    inputs: Path
    folder: Path
    imports: float
    seconds: float


def run_whole(subject: Subject, inputs: Path, folder: Path, environment: dict[str, str]) -> Whole:
    """Run the command to its end in a folder of its own; returns what it left."""
    prepare(inputs, folder)
    begun = time.time()
    result = subprocess.run(
        command(*subject.words), cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    if result.returncode not in {0, 1} or "Traceback" in result.stderr:
        raise SystemExit(f"{subject.name} failed without any kill:\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
    seconds = time.time() - begun
    changes = (path.stat().st_mtime - begun for path in folder.rglob("*") if path.is_file())
    return Whole(inputs, folder, min([seconds / 2, *(change for change in changes if change > 0)]), seconds)


def torture(subject: Subject, whole: Whole, folder: Path, rng: random.Random, environment: dict[str, str]) -> Outcome:
    """Kill the command once or twice, let it go on to its end, and compare what it leaves.

    Args:
        subject: the command.
        whole: what an uninterrupted one left.
        folder: of this attempt; removed where nothing differs.
        rng: chooses moments and signals.
        environment: of the processes.
    """
    prepare(whole.inputs, folder)
    outcome = Outcome(subject.name)
    wanted = rng.choice((1, 1, 2))
    while len(outcome.kills) < wanted:
        after = rng.uniform(0.8 * whole.imports, 1.05 * whole.seconds)
        kill = strike(words_now(subject, folder), folder, after, rng, environment, outcome)
        if kill is None:  # it ended before
            break
        outcome.kills.append(kill)
    finish(subject, folder, environment, outcome)
    if not outcome.differences:
        outcome.differences = [*subject.differences(folder, whole.folder), *left_behind(folder)]
    if not outcome.differences:
        shutil.rmtree(folder)
    return outcome


def prepare(inputs: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(inputs, folder)


def words_now(subject: Subject, folder: Path) -> list[str]:
    """The command that a user types now: the first one, or the one to resume."""
    is_begun = subject.again is not None and (folder / subject.begun).exists()
    return subject.again if is_begun and subject.again else subject.words


def strike(
    words: list[str], folder: Path, after: float, rng: random.Random, environment: dict[str, str], outcome: Outcome
) -> Kill | None:
    """Start the command and end it after so many seconds; None if it ended by itself before."""
    log = folder.with_suffix(".log")
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command(*words), cwd=folder, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            process.wait(timeout=after)
        except subprocess.TimeoutExpired:
            pass
        else:
            return None
        number = rng.choice(SIGNALS)
        group = number == signal.SIGINT or (number == signal.SIGKILL and rng.random() < 0.5)  # Ctrl+C reaches all
        (os.killpg if group else os.kill)(process.pid, number)
        try:
            status = process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            outcome.differences.append(f"did not end within {PATIENCE} s after {number.name}")
            status = 0
    if not group_ended(process.pid):
        outcome.differences.append(f"{number.name} left processes behind")
        os.killpg(process.pid, signal.SIGKILL)
    text = log.read_text(encoding="utf-8", errors="replace")
    if "Traceback" in text and number != signal.SIGKILL:  # then a worker may say that its parent is gone
        outcome.differences.append(f"{number.name} ended in a trace: {text[-300:]!r}")
    return Kill(number.name, group, round(after, 1), status, newest(folder))


def group_ended(group: int) -> bool:
    """Whether all processes of the group have ended, those that the killed one had started among them."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def newest(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return max(files, key=lambda path: path.stat().st_mtime).relative_to(folder).as_posix()


def finish(subject: Subject, folder: Path, environment: dict[str, str], outcome: Outcome) -> None:
    """Let the command go on to its end."""
    try:
        result = subprocess.run(
            command(*words_now(subject, folder)),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        outcome.differences.append("hangs when it goes on")
        return
    is_finished = any(words in result.stderr for words in FINISHED)
    if "Traceback" in result.stderr or (result.returncode not in {0, 1} and not is_finished):
        outcome.differences.append(f"does not go on ({result.returncode}): {result.stderr[-500:]}")
