"""The verbs. Help needs no torch: what a verb imports is imported when the verb runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from . import __version__
from .errors import UserError, did_you_mean

VERBS = {
    "fit": "train, then test the best checkpoint and write the run's summary",
    "validate": "measure a checkpoint on the validation split",
    "test": "measure a checkpoint on the test split, class by class",
    "predict": "write a checkpoint's prediction for each test image to a CSV file",
}
EPILOGUE = """\
A recipe:        {program} fit --config configs/digits_cnn.yaml
Your images:     {program} fit --config configs/folder_transfer.yaml --data.root photos/
A checkpoint:    {program} test --ckpt_path runs/digits_cnn/<run>/checkpoints/best.ckpt
All options:     {program} fit --help
"""


def main(args: Sequence[str] | None = None) -> None:
    """Run the verb that ``args`` (of the command line by default) begin with."""
    args = sys.argv[1:] if args is None else args
    verb = args[0] if args else "--help"
    if verb in {"-h", "--help", "help"}:
        print(help_text())
    elif verb == "--version":
        print(__version__)
    elif verb not in VERBS:
        fail(f"{verb!r} is not a verb. {did_you_mean(verb, VERBS)}")
    else:
        try:
            run(args)
        except UserError as error:
            fail(str(error))


def run(args: Sequence[str]) -> None:
    from .verbs.startup import quick_imports

    verb, *options = args
    with quick_imports():
        from .verbs.console import configure_console
        from .verbs.evaluate import evaluate
        from .verbs.fit import fit

    configure_console()
    if verb == "fit":
        fit(options)
    else:
        evaluate(verb, options)


def help_text() -> str:
    program = program_name()
    verbs = "\n".join(f"  {verb:10} {purpose}" for verb, purpose in VERBS.items())
    return f"usage: {program} VERB [OPTIONS]\n\n{verbs}\n\n{EPILOGUE.format(program=program)}"


def program_name() -> str:
    name = Path(sys.argv[0]).stem
    return f"python -m {__package__}" if name == "__main__" else name


def fail(message: str) -> NoReturn:
    """End with status 2, as argparse does for wrong arguments."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
