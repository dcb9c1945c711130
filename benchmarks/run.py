"""Measure everything side by side and write docs/benchmarks.md.

CLASSIFIER_DATA=data python benchmarks/run.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from figure import draw
from keras_environment import NoKerasError, keras_python
from machine import describe_machine
from page import render
from programs import PROGRAMS, Program
from results import Record, append, read_results, start_file

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NUM_LINES_KEPT = 20


def parse_arguments() -> argparse.Namespace:
    names = [program.name for program in PROGRAMS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("CLASSIFIER_DATA"), help="holds MNIST/raw, ...")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; the number of a round is its seed")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--output", type=Path, help="page to write (docs/benchmarks.md)")
    parser.add_argument("--project", type=Path, default=ROOT / "build/project/image-classifier")
    parser.add_argument("--render-only", action="store_true", help="write the page from the last results")
    parser.add_argument("--smoke", action="store_true", help="a few batches, to see that it works; page in build/bench")
    arguments = parser.parse_args()
    if not arguments.render_only:
        check(parser, arguments)
    return arguments


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse what would only fail after minutes."""
    if arguments.data is None:
        parser.error("--data is missing: give the folder that holds MNIST/raw, FashionMNIST/raw and hymenoptera/.")
    missing = [
        name for name in ("MNIST/raw", "FashionMNIST/raw", "hymenoptera") if not (arguments.data / name).exists()
    ]
    if missing:
        parser.error(f"--data is {str(arguments.data)!r}, which does not hold {', '.join(missing)}.")
    if not (arguments.project / "configs").exists():
        parser.error(f"--project is {str(arguments.project)!r}, which is no generated project. Run make project first.")
    if arguments.repeats < 1:
        parser.error(f"--repeats is {arguments.repeats}; it must be 1 or more.")


def measure(arguments: argparse.Namespace, file: Path) -> bool:
    """Run A B C, A B C, ... and keep each result at once; whether all programs ran."""
    start_file(file, describe_machine())
    programs = [program for program in PROGRAMS if not arguments.only or program.name in arguments.only]
    all_ran = True
    for repeat in range(arguments.repeats):
        for program in programs:
            print(f"round {repeat + 1} of {arguments.repeats}: {program.name} ... ", end="", flush=True)
            record = run_or_skip(program, repeat, arguments)
            append(file, record)
            print(record.skipped or record.failed or f"{record.figures['process_seconds']:.1f} s", flush=True)
            all_ran &= not record.failed
    return all_ran


def run_or_skip(program: Program, repeat: int, arguments: argparse.Namespace) -> Record:
    python = Path(sys.executable)
    if program.needs_gpu and not torch.cuda.is_available():
        return Record(program.name, repeat, skipped="there is no GPU")
    if program.needs_keras:
        try:
            python = keras_python(ROOT / "build" / "bench" / "keras-venv")
        except NoKerasError as error:
            return Record(program.name, repeat, skipped=str(error))
    return run(program, repeat, python, arguments)


def run(program: Program, repeat: int, python: Path, arguments: argparse.Namespace) -> Record:
    command = [str(python), str(HERE / program.file), "--data", str(arguments.data.resolve()), "--seed", str(repeat)]
    command += [*program.arguments, *(["--smoke"] if arguments.smoke else [])]
    if not program.file.startswith("peers/"):
        command += ["--project", str(arguments.project.resolve())]
    start = time.perf_counter()
    result = subprocess.run(command, env=environment(program, arguments), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if result.returncode:
        return Record(program.name, repeat, failed="\n".join(result.stderr.splitlines()[-NUM_LINES_KEPT:]))
    return Record(program.name, repeat, {"process_seconds": seconds, **json.loads(result.stdout.splitlines()[-1])})


def environment(program: Program, arguments: argparse.Namespace) -> dict[str, str]:
    """With this project's source first: the one that is installed may be another of the same name."""
    if program.needs_keras:
        return {**os.environ, "PYTHONPATH": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(arguments.project.resolve() / "src"), str(HERE)])}


def main() -> None:
    arguments = parse_arguments()
    folder = ROOT / "build" / "bench" / ("smoke" if arguments.smoke else "")
    file = folder / "results.jsonl"
    page = arguments.output or (folder if arguments.smoke else ROOT / "docs") / "benchmarks.md"
    all_ran = arguments.render_only or measure(arguments, file)
    results = read_results(file)
    draw(results, page.parent / "images" / "time-against-accuracy.png")
    page.write_text(render(results, "images/time-against-accuracy.png"), encoding="utf-8")
    print(page)
    if not all_ran:
        sys.exit(f"some programs failed: see {file}")


if __name__ == "__main__":
    main()
