"""What a command needs of its process: open streams, a folder to work in, the process that started it, a quick end."""

import atexit
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UserError, escaped, is_utf8

GRACE = 10  # seconds
SPINS = "10000"  # tens of microseconds
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # set by launchers


def end_quickly(main: Callable[[], None]) -> None:
    """Call ``main`` and end the process without freeing the million objects of its imports, which takes over a second.

    What is registered with ``atexit`` is called as always; after an unexpected error, Python ends as always, too.
    """
    status: int | None = None

    def leave() -> None:
        if status is not None:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError, AttributeError):  # it is closed, or there is none
                    stream.flush()
            os._exit(status)

    atexit.register(leave)  # first, and so called last
    try:
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else None
        raise


def let_threads_sleep() -> None:
    """Let OpenMP's threads, which wait for each other at each layer, sleep soon; call it before torch is imported.

    Otherwise they spin for milliseconds. On cores that other programs use too, mnist_mlp then took up to 46 s instead
    of 3 to 6 s; alone on the machine there is no difference.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def end_with_parent() -> None:
    """End this process, if it is one that another one of its training started, soon after that one was killed.

    Before they have met, it would wait for that one for half an hour.
    """
    if os.environ.get("LOCAL_RANK", "0") == "0":
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        time.sleep(GRACE)  # in which a training that has ended well ends here too
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def prepare_streams() -> None:
    """Make writing to the standard streams no reason to fail: closed ones lead nowhere, unknown letters are escaped."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # before another file gets the number of one
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Exit without an error if the reader of standard output, such as ``head``, has closed it.

    Where the output goes to a file that cannot be written, raise an OSError once, and not again when Python exits.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:
        # rich raises SystemExit when standard output is closed.
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        try:
            print(flush=True)
        except BrokenPipeError:  # standard output is closed, not a pipe to another process
            discard_output()
        else:
            if isinstance(error, BrokenPipeError):
                raise
    except OSError:
        try:
            sys.stdout.flush()
        except OSError:
            discard_output()
        raise


def discard_output() -> None:
    """Keep Python from writing to standard output again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def require_texts(args: Sequence[str]) -> None:
    """Refuse words that no option or path can be: empty ones, of which a path would be the working directory."""
    for before, word in zip(["", *args], args, strict=False):
        if not word or (word.startswith("--") and word.endswith("=")):
            given = word.removesuffix("=") or before
            name = given if given.startswith("-") else "an argument"
            raise UserError(f"{name} is ''. Give a value, or leave it out; a variable of the shell may be unset.")
        if "\0" in word:
            raise UserError(f"{word!r} has a null character, which no path or value can have.")
        if not is_utf8(word) and args[0] != "predict":  # which writes such paths with escapes
            raise UserError(f"{escaped(word)} is not UTF-8 text. Rename the file or folder, or correct the option.")


def require_surroundings() -> None:
    """Refuse a working directory or variables of a launcher with which torch and Lightning cannot be imported."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UserError("the working directory no longer exists. Change into another one.") from error
    for name in RANKS:
        if not (value := os.environ.get(name, "0")).isdecimal():
            raise UserError(
                f"the environment variable {name} is {value!r}; it must be a whole number. Unset it, or use torchrun."
            )
