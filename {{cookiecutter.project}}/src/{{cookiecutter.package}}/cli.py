"""The command line. A verb's modules are imported when it runs, so that ``--help`` is fast."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import NoReturn

from . import __version__
from .errors import UserError, did_you_mean
from .program import program_name

VERBS = {
    "fit": "train a model, test its best checkpoint and write a report",
    "validate": "evaluate a checkpoint on the validation split",
    "test": "evaluate a checkpoint on the test split, with results per class",
    "predict": "classify images with a checkpoint and write a table",
    "compare": "compare runs and test which differences are significant",
    "report": "write the report of a run again",
    "audit": "check all files of an image folder before training",
    "split": "write a file that assigns each image of a folder to a split",
    "pack": "pack a folder of images for streaming, for data sets that do not fit on one machine",
    "tune": "search for better hyperparameters of a recipe",
}
# For each verb, its module in verbs/ and the function to call.
ACTIONS = {
    "fit": ("fit", "fit"),
    "validate": ("evaluate", "evaluate"),
    "test": ("evaluate", "evaluate"),
    "predict": ("predict", "predict"),
    "compare": ("compare", "compare"),
    "report": ("report", "report"),
    "audit": ("audit", "run_audit"),
    "split": ("split", "split"),
    "pack": ("pack", "pack"),
    "tune": ("tune", "tune"),
}
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
EPILOGUE = """\
Train a recipe:      {program} fit --config configs/digits_cnn.yaml
Train on a folder:   {program} fit --config configs/folder_probe.yaml --data.root photos/
Test a checkpoint:   {program} test --ckpt last
Classify images:     {program} predict --ckpt last photos/
Show all options:    {program} fit --help
"""


def main(args: Sequence[str] | None = None) -> None:
    """Run the verb that is the first of ``args`` (default: the command line)."""
    with reader_may_leave():
        dispatch(args)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Exit without an error if the reader of standard output, such as ``head``, has closed it."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        try:
            print(flush=True)
        except BrokenPipeError:  # standard output is closed, not a pipe to another process
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            raise


def dispatch(args: Sequence[str] | None) -> None:
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
            status = run(args)
        except UserError as error:
            fail(str(error))
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            where = f": {error.filename!r} cannot be written" if error.filename else ""
            fail(f"the disk is full{where}. Free disk space. To resume a training: {program_name()} fit --resume last")
        if status:
            sys.exit(status)


def run(args: Sequence[str]) -> int | None:
    from .verbs.startup import quick_imports

    verb, *options = args
    with quick_imports():
        from .verbs.console import configure_console

        action = action_of(verb)
    configure_console()
    return action(options)


def action_of(verb: str) -> Callable[[Sequence[str]], int | None]:
    """The function of a verb; it takes the options and returns the exit status."""
    module, function = ACTIONS[verb]
    action: Callable[..., int | None] = getattr(import_module(f".verbs.{module}", __package__), function)
    return partial(action, verb) if function == "evaluate" else action


def help_text() -> str:
    program = program_name()
    verbs = "\n".join(f"  {verb:10} {purpose}" for verb, purpose in VERBS.items())
    return f"usage: {program} VERB [OPTIONS]\n\n{verbs}\n\n{EPILOGUE.format(program=program)}"


def fail(message: str) -> NoReturn:
    """Exit with status 2, as argparse does for wrong arguments."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
