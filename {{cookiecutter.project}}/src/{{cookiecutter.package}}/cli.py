"""The command line: the table of its verbs. A verb's modules are imported when it runs, so that help is fast."""

import atexit
import gc
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, NoReturn

from . import __version__
from .engine.surroundings import (
    end_quickly,
    end_with_parent,
    let_threads_sleep,
    prepare_streams,
    reader_may_leave,
    require_surroundings,
    require_texts,
)
from .errors import UserError, did_you_mean, program_name
from .files import explain


class Verb(NamedTuple):
    """Module of a verb in this package, its function, and its purpose."""

    module: str
    function: str
    purpose: str
    trains: bool = False  # whether the companions take part
    is_light: bool = False  # whether it begins without torch; it calls its second argument to import the rest


# One verb a line. The verb of a tool whose folder was deleted does not exist.
ALL_VERBS = {
    "fit": Verb("fit", "fit", "train a model, test its best checkpoint and write a report", trains=True),
    "validate": Verb("tools.evaluate", "evaluate", "evaluate a checkpoint on the validation split", trains=True),
    "test": Verb(
        "tools.evaluate", "evaluate", "evaluate a checkpoint on the test split, with results per class", trains=True
    ),
    "predict": Verb("tools.predict.predict", "predict", "classify images with a checkpoint and write a table"),
    "export": Verb("tools.export.export", "export", "write the model in formats that other programs read, with proof"),
    "demo": Verb("tools.demo.demo", "demo", "open a page on this machine that classifies an image"),
    "compare": Verb("tools.compare.compare", "compare", "compare runs and test which differences are significant"),
    "report": Verb("tools.report.report", "report", "write the report of a run again"),
    "doctor": Verb(
        "tools.doctor.doctor",
        "doctor",
        "check machine, settings and data before a training, and forecast its time",
        trains=True,
        is_light=True,
    ),
    "audit": Verb("tools.audit.audit", "run_audit", "check all files of an image folder before training"),
    "split": Verb("tools.split", "split", "write a file that assigns each image of a folder to a split"),
    "pack": Verb(
        "tools.pack.pack", "pack", "pack a folder of images for streaming, for data sets that do not fit on one machine"
    ),
    "tune": Verb("tools.tune.tune", "tune", "search for better hyperparameters of a recipe", trains=True),
}
# Tools that take part in every training; each module has a COMPANION.
COMPANIONS = ("tools.report.report", "tools.tracking")
INTERRUPTED = 130  # as shells report a process ended by Ctrl+C
EPILOGUE = """\
Train a recipe:      {program} fit --config configs/digits_cnn.yaml
Train on a folder:   {program} fit --config configs/folder_probe.yaml --data.root photos/
Test a checkpoint:   {program} test --ckpt last
Classify images:     {program} predict --ckpt last photos/
Show all options:    {program} fit --help
"""


def exists(module: str) -> bool:
    try:
        return find_spec(f".{module}", __package__) is not None
    except ModuleNotFoundError:  # the folder of the tool was deleted
        return False


VERBS = {name: verb for name, verb in ALL_VERBS.items() if exists(verb.module)}


def run_process() -> None:
    """Run the command line of this process."""
    end_quickly(main)


def main(args: Sequence[str] | None = None) -> None:
    """Run the verb that is the first of ``args`` (default: the command line)."""
    prepare_streams()
    let_threads_sleep()
    end_with_parent()
    try:
        with reader_may_leave():
            dispatch(sys.argv[1:] if args is None else args)
    except (OSError, MemoryError, RuntimeError) as error:
        if (problem := explain(error)) is None:
            raise
        fail(problem)


def dispatch(args: Sequence[str]) -> None:
    verb = args[0] if args else "--help"
    if verb in {"-h", "--help", "help"}:
        print(help_text())
    elif verb == "--version":
        print(__version__)
    elif verb not in VERBS:
        fail(f"{verb!r} is not a verb. {did_you_mean(verb, VERBS)}")
    else:
        try:
            require_texts(args)
            require_surroundings()
            status = run(verb, args[1:])
        except UserError as error:
            fail(str(error))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(INTERRUPTED)
        if status:
            sys.exit(status)


def run(verb: str, options: Sequence[str]) -> int | None:
    """Import the modules of a verb and call its function, which returns the exit status."""
    module, function, _, trains, is_light = VERBS[verb]
    gc.disable()  # while a million objects are imported, which saves a tenth of the time
    action: Any = getattr(import_module(f".{module}", __package__), function)
    if is_light:
        return action(options, companions_when_ready)
    others = [companions()] if trains else []
    ready()
    action = partial(action, verb) if function == "evaluate" else action
    return action(options, *others)


def companions_when_ready() -> list[Any]:
    """The companions, after all that a training needs is imported."""
    found = companions()
    import_module(".fit", __package__)
    ready()
    return found


def ready() -> None:
    """Set up console and garbage collection when the modules of a verb are imported."""
    import_module(".engine.command_line", __package__).configure_console()
    atexit.register(gc.unfreeze)
    gc.freeze()  # each later collection of the imported objects would pause a training for a quarter of a second
    gc.enable()


def companions() -> list[Any]:
    """The tools that take part in every training, of those that exist."""
    return [import_module(f".{name}", __package__).COMPANION for name in COMPANIONS if exists(name)]


def help_text() -> str:
    program = program_name()
    verbs = "\n".join(f"  {name:10} {verb.purpose}" for name, verb in VERBS.items())
    return f"usage: {program} VERB [OPTIONS]\n\n{verbs}\n\n{EPILOGUE.format(program=program)}"


def fail(message: str) -> NoReturn:
    """Exit with status 2, as argparse does for wrong arguments."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
