"""Kill the commands of a generated project at random moments and compare what they leave.

python torture/campaign.py
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from inputs import write_inputs
from killing import Outcome, run_whole, torture
from subjects import SUBJECTS, Subject

ROOT = Path(__file__).resolve().parents[1]


def parse_arguments() -> argparse.Namespace:
    names = [subject.name for subject in SUBJECTS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="signals in all (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of moments and signals (default: 0)")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--project", type=Path, default=ROOT / "build/project/image-classifier")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/torture", help="all is written there")
    arguments = parser.parse_args()
    if arguments.kills < 1:
        parser.error(f"--kills is {arguments.kills}; it must be 1 or more.")
    if not (arguments.project / "configs").exists():
        parser.error(f"--project is {str(arguments.project)!r}, which is no generated project. Run make project first.")
    return arguments


def run(arguments: argparse.Namespace) -> list[Outcome]:
    """Torture the chosen subjects until the kills are spent; prints a line each."""
    chosen = [subject for subject in SUBJECTS if not arguments.only or subject.name in arguments.only]
    folder = arguments.folder.resolve()
    environment = surroundings(folder, arguments.project.resolve())
    os.environ.update(environment)
    write_inputs(folder / "inputs", arguments.project)
    outcomes: list[Outcome] = []
    for subject, kills in shares(chosen, arguments.kills):
        whole = run_whole(subject, folder / "inputs", folder / subject.name / "whole", environment)
        print(f"{subject.name}: {whole.seconds:.0f} s without a kill", flush=True)
        rng = random.Random(f"{arguments.seed} {subject.name}")
        spent = attempt = 0
        while spent < kills:
            attempt += 1
            outcome = torture(subject, whole, folder / subject.name / f"attempt-{attempt:03}", rng, environment)
            spent += len(outcome.kills)
            outcomes.append(outcome)
            print(f"  {line(outcome)}", flush=True)
    return outcomes


def surroundings(folder: Path, project: Path) -> dict[str, str]:
    """Environment of all commands: a home of their own, this project's code, and no login."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    own = {"HOME": str(home), "NETRC": str(home / "none"), "PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own, "CUDA_VISIBLE_DEVICES": ""}


def shares(subjects: list[Subject], kills: int) -> Iterator[tuple[Subject, int]]:
    """Distribute the kills over the subjects by their shares; the rounded rest goes to the first."""
    total = sum(subject.share for subject in subjects)
    counts = [kills * subject.share // total for subject in subjects]
    for position in range(kills - sum(counts)):
        counts[position % len(counts)] += 1
    yield from zip(subjects, counts, strict=True)


def line(outcome: Outcome) -> str:
    kills = "; ".join(
        f"{kill.signal}{' to all' if kill.group else ''} after {kill.after} s (exit {kill.status}), at {kill.reached}"
        for kill in outcome.kills
    )
    verdict = "; ".join(outcome.differences[:5]) or "same"
    return f"{kills or 'ended before the kill'}: {verdict}"


def table(outcomes: list[Outcome]) -> str:
    """Markdown: for each subject the kills by signal and what differed."""
    rows = ["| command | SIGKILL | SIGTERM | SIGINT | differed |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(outcome.subject for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.subject == name]
        counts = Counter(kill.signal for outcome in own for kill in outcome.kills)
        differed = sum(bool(outcome.differences) for outcome in own)
        rows.append(f"| {name} | {counts['SIGKILL']} | {counts['SIGTERM']} | {counts['SIGINT']} | {differed} |")
    lines = [f"- {outcome.subject}: {line(outcome)}" for outcome in outcomes]
    return "\n".join([*rows, "", *lines, ""])


def main() -> int:
    arguments = parse_arguments()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let programs in the background ignore it
    outcomes = run(arguments)
    text = table(outcomes)
    (arguments.folder / "table.md").write_text(text, encoding="utf-8")
    print(text.partition("\n\n")[0])
    num_kills = sum(len(outcome.kills) for outcome in outcomes)
    differed = sum(bool(outcome.differences) for outcome in outcomes)
    print(
        f"{num_kills} kills; {differed} of {len(outcomes)} results differ. Each kill: {arguments.folder / 'table.md'}"
    )
    return 1 if differed else 0


if __name__ == "__main__":
    sys.exit(main())
